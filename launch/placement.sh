# shellcheck shell=bash
# Where ranks run: --hosts, --hostfile, --ranks-per-node, --bind and --output-per-rank of launch/run, in the words of the
# launcher that is there. Sourced by launch/run; needs note and die.

HOSTS=() SLOTS=() PER_NODE='' BIND='' OUTPUT=''
PLACEMENT=() # options of the launcher
COUNT='' # ranks that hosts and ranks per node come to

placement_option() { # NAME VALUE: takes one option
    local value=${2-}
    [[ -n $value ]] || die 2 "$1: a value is missing"
    case $1 in
    --hosts)
        ((${#HOSTS[@]} == 0)) || die 2 "--hosts: the hosts are named twice"
        local entry entries
        IFS=, read -ra entries <<<"$value"
        for entry in "${entries[@]}"; do add_host --hosts "${entry%%:*}" "${entry#"${entry%%:*}"}"; done
        ;;
    --hostfile)
        ((${#HOSTS[@]} == 0)) || die 2 "--hostfile: the hosts are named twice"
        read_hostfile "$value"
        ;;
    --ranks-per-node)
        [[ $value =~ ^[1-9][0-9]{0,4}$ ]] || die 2 "--ranks-per-node: found '$value', expected a number of ranks, 1 or more"
        PER_NODE=$value
        ;;
    --bind)
        [[ $value =~ ^(core|numa|none)$ ]] || die 2 "--bind: found '$value', expected core, numa or none"
        BIND=$value
        ;;
    --output-per-rank)
        # shellcheck disable=SC2034  # launch/run reads it
        OUTPUT=$value
        ;;
    esac
}

add_host() { # WHERE NAME SLOTS: SLOTS is empty or ':NUMBER'
    [[ $2 =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || die 2 "$1: found '$2', expected the name of a host"
    [[ -z $3 || $3 =~ ^:[1-9][0-9]{0,4}$ ]] || die 2 "$1: found '$2$3', expected HOST:RANKS"
    HOSTS+=("$2")
    SLOTS+=("${3#:}")
}

read_hostfile() { # FILE: a host a line, as 'host', 'host:4' (MPICH) or 'host slots=4' (Open MPI)
    local line
    [[ -r $1 && ! -d $1 ]] || die 2 "--hostfile: cannot read '$1'"
    while read -r line || [[ -n $line ]]; do
        line=${line%%#*}
        [[ $line =~ ^[[:space:]]*$ ]] && continue
        [[ $line =~ ^[[:space:]]*([^[:space:]:]+)(:([^[:space:]]+)|[[:space:]]+slots=([^[:space:]]+))?[[:space:]]*$ ]] ||
            die 2 "--hostfile: $1: found '$line', expected 'host', 'host:4' or 'host slots=4'"
        add_host "--hostfile: $1" "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]:+:${BASH_REMATCH[3]}}${BASH_REMATCH[4]:+:${BASH_REMATCH[4]}}"
    done <"$1"
    ((${#HOSTS[@]})) || die 2 "--hostfile: '$1' names no host"
}

count_ranks() { # RANKS, or "": sets COUNT; hosts, ranks per node and -n must agree
    local i most=0 unnumbered=no
    COUNT=$1
    ((${#HOSTS[@]})) || return 0
    for i in "${!HOSTS[@]}"; do
        [[ -z $PER_NODE || -z ${SLOTS[i]} ]] ||
            die 2 "--ranks-per-node: found beside '${HOSTS[i]}:${SLOTS[i]}', expected one of them"
        SLOTS[i]=${SLOTS[i]:-$PER_NODE}
        if [[ -n ${SLOTS[i]} ]]; then ((most += SLOTS[i])); else unnumbered=yes; fi
    done
    if [[ -z $COUNT ]]; then
        [[ $unnumbered == no ]] || die 2 "--hosts: the number of ranks is open: -n RANKS, --ranks-per-node, or HOST:RANKS"
        COUNT=$most
    elif [[ $unnumbered == yes ]]; then
        # The same number on each host, the last one filled up as far as needed.
        for i in "${!HOSTS[@]}"; do
            SLOTS[i]=${SLOTS[i]:-$(((COUNT + ${#HOSTS[@]} - 1) / ${#HOSTS[@]}))}
        done
    elif ((COUNT > most)); then
        die 2 "-n: found $COUNT ranks, the hosts take $most"
    fi
}

launcher_kind() { # LAUNCHER...: sets KIND to hydra, intel, openmpi or slurm
    local version
    case ${1##*/} in
    srun) KIND=slurm && return ;;
    esac
    version=$("$1" --version 2>&1 </dev/null)
    case $version in
    *'Intel(R) MPI'*) KIND=intel ;;
    *HYDRA* | *Hydra*) KIND=hydra ;;
    *'Open MPI'* | *OpenRTE* | *PRRTE* | *prterun*) KIND=openmpi ;;
    *) die 2 "--hosts, --ranks-per-node, --bind: '$*' is no launcher known here (MPICH, Intel MPI, Open MPI, srun): give it its own options in DISTSIM_LAUNCHER" ;;
    esac
}

place() { # LAUNCHER...: sets PLACEMENT
    local i listed=() name
    PLACEMENT=()
    [[ -n $PER_NODE$BIND || ${#HOSTS[@]} != 0 ]] || return 0
    launcher_kind "$@"
    for i in "${!HOSTS[@]}"; do listed+=("${HOSTS[i]}:${SLOTS[i]}"); done
    local hosts
    hosts=$(IFS=, && echo "${listed[*]-}")
    case $KIND in
    hydra | intel)
        [[ -z $hosts ]] || PLACEMENT+=(-hosts "$hosts")
        [[ -z $PER_NODE ]] || PLACEMENT+=(-ppn "$PER_NODE")
        if [[ $KIND == intel && -n $BIND ]]; then
            case $BIND in
            none) PLACEMENT+=(-genv I_MPI_PIN off) ;;
            *) PLACEMENT+=(-genv I_MPI_PIN on -genv I_MPI_PIN_DOMAIN "$BIND") ;;
            esac
        elif [[ -n $BIND ]]; then
            PLACEMENT+=(-bind-to "$BIND")
        fi
        ;;
    openmpi)
        [[ -z $hosts ]] || PLACEMENT+=(--host "$hosts")
        # The environment does not travel to other hosts by itself.
        if [[ -n $hosts ]]; then
            while read -r name; do
                case $name in
                PATH | PYTHONPATH | LD_LIBRARY_PATH | DISTSIM_* | MPI4PY_* | *_NUM_THREADS | CXX) PLACEMENT+=(-x "$name") ;;
                esac
            done < <(compgen -e)
        fi
        [[ -z $PER_NODE ]] || PLACEMENT+=(--map-by "ppr:$PER_NODE:node:oversubscribe")
        [[ -z $BIND ]] || PLACEMENT+=(--bind-to "$BIND")
        ;;
    slurm)
        if [[ -n $hosts ]]; then
            for i in "${!SLOTS[@]}"; do
                ((SLOTS[i] == SLOTS[0])) || die 2 "--hosts: srun takes the same number of ranks on each host; found $hosts"
            done
            PLACEMENT+=("--nodelist=$(IFS=, && echo "${HOSTS[*]}")" "--nodes=${#HOSTS[@]}" "--ntasks-per-node=${SLOTS[0]}")
        elif [[ -n $PER_NODE ]]; then
            PLACEMENT+=("--ntasks-per-node=$PER_NODE")
        fi
        case $BIND in
        core) PLACEMENT+=(--cpu-bind=cores) ;;
        numa) PLACEMENT+=(--cpu-bind=ldoms) ;;
        none) PLACEMENT+=(--cpu-bind=none) ;;
        esac
        ;;
    esac
}
