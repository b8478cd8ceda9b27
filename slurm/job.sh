# shellcheck shell=bash
# What the jobs of this folder share; each sources it. Needs DISTSIM_ROOT, the repository. Afterwards the site is set up, and
# `go ARGUMENTS` runs distsim on the job's ranks; STOPPED and PROGRESS say how it ended.

note() { printf 'distsim: %s\n' "$*" >&2; }
die() { # CODE MESSAGE
    local code=$1
    shift
    note "$*"
    exit "$code"
}

# USR1 comes from `sbatch --signal=B:USR1@SECONDS`, TERM from scancel, preemption and the end of the time. SLURM gives the
# first to this shell alone; srun and mpiexec pass it on to the ranks, which write a checkpoint and end with code 75. They
# pass on USR1 as it is; on TERM srun has SLURM end the step, and Open MPI soon kills the ranks.
CHILD='' SEEN=''
forward() { # SIGNAL
    [[ $SEEN == TERM ]] || SEEN=$1
    note "$1 from SLURM at $(date +%T): the run is told to stop"
    [[ -n $CHILD ]] && kill -s USR1 "$CHILD" 2>/dev/null
    return 0
}
trap 'forward USR1' USR1
trap 'forward TERM' TERM

site=${DISTSIM_SITE:-$DISTSIM_ROOT/slurm/site.sh}
set +u # modules, conda and the like read variables that are not set
# shellcheck source=slurm/site.sh
. "$site" || die 2 "DISTSIM_SITE: cannot read '$site'"
site_setup || die 1 "site_setup in $site failed (exit code $?)"
set -u
export DISTSIM_MPI DISTSIM_CUDA
# A job that was submitted with --export=NONE, as some sites ask for, passes that on to srun: ranks would have nothing of
# what was set up here.
unset SLURM_EXPORT_ENV
case ${1-} in
--setup) exec "$DISTSIM_ROOT/launch/run" --setup ;;
esac
[[ -n ${SLURM_JOB_ID-} ]] || die 2 'not inside a job: slurm/submit run CONFIG, or slurm/submit setup'
[[ -n ${1-} && $1 != -* ]] || die 2 "CONFIG: found '${1-}', expected the experiment first, then options of distsim run"

name=${1##*/}
# shellcheck disable=SC2034
DEFAULT_OUT=results/${name%.*}
# srun no longer takes it from the job by itself.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
RANKS=${SLURM_NTASKS:-$((${SLURM_JOB_NUM_NODES:-1} * ${SLURM_NTASKS_PER_NODE:-1}))}
case $DISTSIM_START in
srun)
    # -K1 ends the job when one rank dies; without it the others would wait for ever.
    export DISTSIM_LAUNCHER="srun --mpi=$DISTSIM_PMI -K1"
    ;;
mpiexec)
    # mpiexec starts one daemon a node by srun: bound to one GPU, it would hide the others from ranks that inherit its
    # environment (Open MPI) or its control group.
    unset DISTSIM_LAUNCHER SLURM_GPUS_PER_TASK
    export SLURM_GPU_BIND=none
    ;;
*) die 2 "DISTSIM_START: found '$DISTSIM_START', expected srun or mpiexec" ;;
esac

# This job's own name. The last task of an array has the number of the array, by which SLURM means all its tasks:
# `scontrol requeue` would start the finished ones again, too. A job submitted from inside a task inherits its variables.
SELF=$SLURM_JOB_ID
if [[ -n ${SLURM_ARRAY_TASK_ID-} && -n ${SLURM_ARRAY_JOB_ID-} ]]; then
    named=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    [[ $(squeue -h -j "$named" -o %A 2>/dev/null) != "$SLURM_JOB_ID" ]] || SELF=$named
fi

# The end of the job, so that distsim stops before it. SLURM 22.05 does not tell it to a job, later ones do; a job
# submitted from inside another inherits that of the outer one.
unset SLURM_JOB_START_TIME SLURM_JOB_END_TIME
if times=$(SLURM_TIME_FORMAT=standard squeue -h -j "$SELF" -o '%S %e' 2>/dev/null) && read -r start end <<<"$times" &&
    start=$(date -d "$start" +%s 2>/dev/null) && end=$(date -d "$end" +%s 2>/dev/null); then
    export SLURM_JOB_START_TIME=$start SLURM_JOB_END_TIME=$end
fi

newest_checkpoint() { # DIR: the newest that is whole (names are steps of one width, in order), "" without one
    local manifests=("$1"/checkpoints/*/manifest.json)
    [[ ! -e ${manifests[-1]} ]] || printf '%s' "${manifests[-1]}"
}

# STOPPED: yes where the run was stopped (exit code 75) and there is more to compute.
# PROGRESS: yes where it left a checkpoint that was not there before: another start leads further.
go() { # DIR ARGUMENTS: `distsim run ARGUMENTS --out DIR` (DIR empty: where distsim chooses); its exit code
    local out=$1 before code again
    shift
    [[ -z $out ]] || set -- "$@" --out "$out"
    STOPPED=no PROGRESS=no
    before=$(newest_checkpoint "$out")
    [[ -n $SEEN ]] && STOPPED=yes && return 75
    "$DISTSIM_ROOT/launch/run" -n "$RANKS" "$@" &
    CHILD=$!
    wait "$CHILD"
    code=$?
    while kill -0 "$CHILD" 2>/dev/null; do # a trap has ended `wait`, not the child
        wait "$CHILD"
        code=$?
    done
    wait "$CHILD" 2>/dev/null
    again=$?
    ((again == 127)) || code=$again
    CHILD=
    [[ $(newest_checkpoint "$out") == "$before" ]] || PROGRESS=yes
    # 138 and 143: the signal came before the ranks could note it. Codes of ranks that a launcher ended at once with the
    # first that left count as 75 where the signal is known to have come, and the checkpoint is there.
    if ((code == 75)) || [[ -n $SEEN && $code != 0 && ($code == 138 || $code == 143 || $PROGRESS == yes) ]]; then
        STOPPED=yes code=75
    fi
    return "$code"
}

# shellcheck disable=SC2034  # OUT and REST are for those who source this
read_out() { # DEFAULT ARGUMENTS: sets OUT to the directory of --out, REST to the other arguments
    OUT=$1 REST=()
    shift
    while (($#)); do
        case $1 in
        --out) OUT=${2:?--out needs a directory} && shift ;;
        --out=*) OUT=${1#--out=} ;;
        *) REST+=("$1") ;;
        esac
        shift
    done
}

go_on_here() { # DIR ARGUMENTS: start or go on; where the time has ended, ask SLURM to start this job again
    local code restarts=${SLURM_RESTART_COUNT:-0}
    go "$@" --resume
    code=$?
    [[ $STOPPED == yes ]] || exit "$code"
    # After a real end of the time SLURM does not start the job again by itself, after preemption and a lost node it does.
    [[ $SEEN == TERM ]] && die 75 'cancelled: not requeued; submit again, and it goes on'
    [[ $PROGRESS == yes ]] || die 75 'stopped without a new checkpoint: not requeued, it would not get further; ask for more time'
    ((restarts < ${DISTSIM_MAX_REQUEUES:-1000})) || die 75 "requeued $restarts times already (DISTSIM_MAX_REQUEUES)"
    note "requeued after start $((restarts + 1))"
    # SLURM ends this shell in its own time; an exit before that would count as the job's own end.
    trap 'exit 75' TERM
    scontrol requeue "$SELF" || die 75 "SLURM does not requeue job $SELF: submit again, and it goes on"
    sleep 600
    exit 75
}
