# Sourced by inside.sh: machines, their networks, etcd, the store, and the processes that count.
# shellcheck shell=bash

# Generous times for a busy machine. A lease of 4 s is longer than an election.
ttl=4
etcd_times=(--heartbeat-interval 200 --election-timeout 2000)
# No wait of the demonstration may take longer than so many seconds.
limit=60
# Files of the first process, and the journal on the store's machine.
logs=/dev/shm/logs input=/dev/shm/input refusals=/dev/shm/refusals faults=/dev/shm/faults
journal=/dev/shm/journal

declare -A init=() process=() machine_of=()
endpoints=http://10.0.1.1:2379,http://10.0.1.2:2379,http://10.0.1.3:2379

say() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }

die() {
    echo "error: $*" >&2
    exit 1
}

# await WHAT COMMAND...: waits until the command succeeds.
await() {
    local what=$1 end=$((SECONDS + limit))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || die "after $limit s still waiting: $what"
        sleep 0.1
    done
}

# killed PID: kills it, and returns once it is dead.
killed() {
    kill -KILL "$1"
    wait "$1" 2>/dev/null || true
}

# --- machines

# machine NAME: a network, a host name, memory and mounts of its own.
machine() {
    local name=$1 ready
    # shellcheck disable=SC2016 # for the shell inside
    exec {ready}< <(exec unshare --net --uts --ipc --mount bash -c '
        hostname "$1" && mount -t tmpfs tmpfs /dev/shm && ip link set lo up && echo ready &&
        exec sleep infinity >/dev/null' - "$name")
    init[$name]=$!
    read -r -u "$ready" || die "the namespaces of $name cannot be made"
    exec {ready}<&-
    readlink /proc/"${init[$name]}"/ns/{net,mnt} >&3
}

# enter MACHINE COMMAND...: replaces the shell by a command there. Descriptor 8 ends the processes
# that count, so it stays with the first shell.
enter() {
    local name=$1
    shift
    exec nsenter --target "${init[$name]}" --net --uts --ipc --mount -- "$@" 8>&-
}
on() { (enter "$@"); } # the same, without replacing the shell

# plug MACHINE NETWORK ADDRESS
plug() {
    ip link add "$1.$2" type veth peer name "$2" netns "${init[$1]}"
    ip link set "$1.$2" master "$2" up
    on "$1" ip address add "$3/24" dev "$2"
    on "$1" ip link set "$2" up
}

cable() { ip link set "$1.etcd" "$2"; } # MACHINE up|down: its way to etcd

# --- etcd

# member NUMBER: starts it, or starts it again from its disk.
member() {
    local peers=e1=http://10.0.1.1:2380,e2=http://10.0.1.2:2380,e3=http://10.0.1.3:2380
    local own=http://10.0.1.$1
    enter "etcd-$1" etcd --name "e$1" --data-dir /dev/shm/etcd --initial-cluster "$peers" \
        --listen-client-urls "$own:2379" --advertise-client-urls "$own:2379" \
        --listen-peer-urls "$own:2380" --initial-advertise-peer-urls "$own:2380" \
        "${etcd_times[@]}" >>"$logs/../etcd-$1.log" 2>&1 &
    process[etcd-$1]=$!
}

ctl() { ETCDCTL_API=3 etcdctl --endpoints "$endpoints" "$@" 2>/dev/null; }
at() { (endpoints=http://10.0.1.$1:2379 ctl "${@:2}"); } # at NUMBER ARGUMENT...: asks one member
is_healthy() { at "$1" endpoint health >/dev/null; }
# leader: the number of the member that leads. A dead member is not asked: etcdctl is patient.
leader() {
    local number
    for number in 1 2 3; do
        is_gone "${process[etcd-$number]}" || at "$number" endpoint status || true
    done | awk -F ', ' '$5 == "true" { split($1, part, /[.:]/); print part[5] }'
}
holder() { ctl get --prefix shmlock/ --sort-by CREATE --limit 1 --print-value-only; }
is_queue_empty() { [ -z "$(ctl get --prefix shmlock/)" ] && [ "$(ctl lease list | wc -l)" = 1 ]; }

# --- the store

# store_begins [OPTION]: starts the store, or starts it again with its journal.
store_begins() {
    enter store fenced_store "$journal" 10.0.2.1:7000 "$@" >>"$refusals" &
    # shellcheck disable=SC2034 # for inside.sh
    process[store]=$!
    await "the store begins" is_listening
}
is_listening() { (exec 9<>/dev/tcp/10.0.2.1/7000) 2>/dev/null; }
journal() { cat "/proc/${init[store]}/root$journal"; }
# newest: the token of the newest accepted write.
newest() { journal | awk '/^write/ { token = $2 } END { print token + 0 }'; }
has_newer_than() { [ "$(newest)" -gt "$1" ]; }

# --- the processes that count

# count_on MACHINE [--stop]: starts one more. Sets `pid`.
count_on() {
    local name=$1
    shift
    (
        exec >>"$logs/$name.$BASHPID" <"$input"
        enter "$name" fenced_counter "$endpoints" "$ttl" 10.0.2.1:7000 "$@"
    ) &
    pid=$!
    machine_of[$pid]=$name
    : >>"$(log_of "$pid")" # it may not have begun
}
log_of() { echo "$logs/${machine_of[$1]}.$1"; }
count() { awk '/^accepted/ { sum++ } END { print sum + 0 }' "$@"; }
accepted() { count "$(log_of "$1")"; }
has_accepted() { [ "$(accepted "$1")" -gt "$2" ]; }
accepted_on() { count "$logs/$1".*; }
has_accepted_on() { [ "$(accepted_on "$1")" -gt "$2" ]; }
last_token() { awk '/^locked/ { token = $2 } END { print token }' "$(log_of "$1")"; }
has_answer() { grep -Eq "^(accepted|refused [0-9]+) $2 " "$(log_of "$1")"; }
answer() { grep -E "^(accepted|refused [0-9]+) $2 " "$(log_of "$1")" | cut -d ' ' -f 1; }
is_stopped() {
    local state
    read -r _ _ state _ <"/proc/$1/stat" && [ "$state" = T ]
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# fault PID TEXT: remembers it for the account.
fault() { echo "$1 $2 in second $SECONDS" >>"$faults"; }
dies() {
    fault "$1" killed
    killed "$1"
    unset "machine_of[$1]"
}
