#!/usr/bin/env bash
# Tells the story, as the first process of the namespaces that fleet/demo.sh makes.
#
#   inside.sh SECONDS with|without 3>NAMESPACES
set -euo pipefail
. "$(dirname "$0")/machines.sh"
. "$(dirname "$0")/store_rules.sh"
account=$(dirname "$0")/account.awk
story_ends=$1 fence=$2

readlink /proc/self/ns/{net,mnt,pid} >&3
mount -t tmpfs tmpfs /dev/shm # for the files of this process
mkdir "$logs"
mkfifo "$input"
touch "$refusals" "$faults"

ip link set lo up
for network in etcd store; do
    ip link add "$network" type bridge
    ip link set "$network" up
done
ip address add 10.0.1.254/24 dev etcd
ip address add 10.0.2.254/24 dev store
for number in 1 2 3; do
    machine "etcd-$number"
    plug "etcd-$number" etcd "10.0.1.$number"
    member "$number"
done
machine store
plug store store 10.0.2.1
on store touch "$journal"
machines=(machine-a machine-b machine-c)
for number in 0 1 2; do
    machine "${machines[number]}"
    plug "${machines[number]}" etcd "10.0.1.$((11 + number))"
    plug "${machines[number]}" store "10.0.2.$((11 + number))"
done
exec 3>&- 8<>"$input" # as long as 8 is open, the processes count
for number in 1 2 3; do await "etcd-$number begins" is_healthy "$number"; done
SECONDS=0

# stops_in_section MACHINE: starts a process that stops in its critical section. Sets `stopped` and
# `token`.
stops_in_section() {
    count_on "$1" --stop
    stopped=$pid
    await "a process of $1 stops in its critical section" is_stopped "$stopped"
    token=$(last_token "$stopped")
    fault "$stopped" "stopped between check and write"
}

# goes_on: continues the stopped process, and waits for the answer to its late write.
goes_on() {
    kill -CONT "$stopped"
    await "the late write has an answer" has_answer "$stopped" "$token"
    say "  process $stopped goes on and writes with token $token: $(answer "$stopped" "$token")"
}

# one_leads: one member leads, by its own word, and no other. Sets `number`.
one_leads() {
    number=$(leader)
    [[ $number = [123] ]]
}

# all_count: waits until each machine has one more accepted write.
all_count() {
    local name before
    for name in "${machines[@]}"; do
        before=$(accepted_on "$name")
        await "$name counts" has_accepted_on "$name" "$before"
    done
}

# all_end: ends the processes, and sees that nothing is left of them.
all_end() {
    local pid name
    exec 8>&-
    for pid in "${!machine_of[@]}"; do
        await "process $pid ends" is_gone "$pid"
        wait "$pid" || die "process $pid of ${machine_of[$pid]} has failed"
    done
    machine_of=()
    for name in "${machines[@]}"; do
        on "$name" shmlock run -n shmlock-example-fenced -- true || die "the lock of $name is held"
    done
    await "the keys and leases in etcd end" is_queue_empty
    say "all processes have ended; the local locks are free; etcd has no key and no lease"
}

judge() {
    journal >/dev/shm/journal-copy
    awk -f "$account" -v refused="$late" /dev/shm/journal-copy "$refusals" "$faults" "$logs"/*
}

# without_fence: the last fault of the story with a store that accepts every token.
without_fence() {
    local seen
    rm -f "$logs"/*
    : >"$faults"
    : >"$refusals"
    journal=/dev/shm/journal-without-fence
    on store touch "$journal"
    store_begins --without-fence
    exec 8<>"$input"
    say "the same without the fence: the store accepts every token"
    stops_in_section machine-a
    late=$token
    say "  process $stopped of machine-a stops in its critical section, with token $token"
    count_on machine-b
    await "machine-b counts" has_accepted "$pid" 2
    goes_on
    seen=$(accepted "$pid")
    await "machine-b counts" has_accepted "$pid" "$seen"
    all_end
    killed "${process[store]}"
}

if [ "$fence" = without ]; then
    without_fence
    judge
    exit
fi

check_store_rules
store_begins
for name in "${machines[@]}"; do
    for _ in 1 2 3; do count_on "$name"; done
done
all_count
say "three members of etcd; on each of three machines, three processes count on one store"
say "  the holder, as etcd has it: $(holder)"

stops_in_section machine-a
dies "$stopped"
killed=$SECONDS
say "machine-a: process $stopped is killed in its critical section, with token $token"
await "the others count" has_newer_than "$token"
say "  its lease has ended: the next write has token $(newest), after $((SECONDS - killed)) s"
all_count
say "  the other processes of machine-a count again: they have recovered its local lock"

stops_in_section machine-b
late=$token
say "machine-b: process $stopped stops in its critical section, after its check, with token $token"
await "the others count" has_newer_than "$token"
say "  its lease has ended: the next write has token $(newest)"
killed "${process[store]}"
store_begins
say "  the store is killed, and starts again with its journal"
goes_on
all_count
say "  the other processes of machine-b, which waited behind it, count again"

# Another lock, whose command `shmlock run` has to end.
run=(shmlock run --fleet "$endpoints" --ttl "$ttl" shmlock-example-command --)
# shellcheck disable=SC2016 # for the command's shell
enter machine-c "${run[@]}" sh -c 'echo "$$ $SHMLOCK_FENCING_TOKEN" >/dev/shm/begun &&
    mv /dev/shm/begun /dev/shm/command && exec sleep infinity' &
supervisor=$!
started=/proc/${init[machine-c]}/root/dev/shm/command
await "the command on machine-c begins" test -e "$started"
read -r command command_token <"$started"
say "machine-c: \`shmlock run --fleet\` runs a command, under another lock, token $command_token"
for pid in "${!machine_of[@]}"; do
    [ "${machine_of[$pid]}" != machine-c ] || fault "$pid" "cut off from etcd"
done
since=$(accepted_on machine-c)
cable machine-c down
say "  machine-c is cut off from etcd, but not from the store"
sleep $((2 * ttl))
before=$(accepted_on machine-c)
for name in machine-a machine-b; do
    await "$name counts" has_accepted_on "$name" "$(accepted_on "$name")"
done
say "  the others count; machine-c has counted $((before - since)) since, and tells of errors"
await "the command on machine-c is ended" is_gone "$supervisor"
status=0
wait "$supervisor" || status=$?
{ [ "$status" = 79 ] && is_gone "$command"; } || die "shmlock run: status $status"
say "  \`shmlock run --fleet\` has lost its lock, and has ended the command; its exit status is 79"
# shellcheck disable=SC2016 # for the command's shell
successor=$(on machine-a timeout "$limit" "${run[@]}" sh -c 'echo "$SHMLOCK_FENCING_TOKEN"')
[ "$successor" -gt "$command_token" ] || die "token $successor after token $command_token"
say "  machine-a acquires that lock, with token $successor"
cable machine-c up
all_count
say "  joined again, and counts"

await "a member leads" one_leads
killed "${process[etcd-$number]}"
killed=$SECONDS
say "etcd-$number, the leader, is killed"
all_count
say "  all machines count again after $((SECONDS - killed)) s; etcd-$(leader) leads"
member "$number"
await "etcd-$number is back" is_healthy "$number"
say "  etcd-$number starts again from its disk"

# More faults, one after the other, as long as there is time.
for ((round = 0; SECONDS < story_ends; round++)); do
    name=${machines[RANDOM % 3]}
    processes=()
    for pid in "${!machine_of[@]}"; do
        [ "${machine_of[$pid]}" != "$name" ] || processes+=("$pid")
    done
    case $((round % 3)) in
        0)
            say "$name: suspended for $((ttl + 2)) s"
            for pid in "${processes[@]}"; do fault "$pid" "suspended with its machine"; done
            kill -STOP "${processes[@]}"
            sleep $((ttl + 2))
            kill -CONT "${processes[@]}"
            ;;
        1)
            pid=${processes[RANDOM % ${#processes[@]}]}
            say "$name: process $pid is killed, and another begins"
            dies "$pid"
            count_on "$name"
            sleep 1
            ;;
        2)
            say "$name: cut off from etcd for $((ttl + 2)) s"
            for pid in "${processes[@]}"; do fault "$pid" "cut off from etcd"; done
            cable "$name" down
            sleep $((ttl + 2))
            cable "$name" up
            ;;
    esac
done

say "the faults end"
declare -A before=()
for pid in "${!machine_of[@]}"; do before[$pid]=$(accepted "$pid"); done
for pid in "${!machine_of[@]}"; do
    await "process $pid of ${machine_of[$pid]} counts" has_accepted "$pid" "${before[$pid]}"
done
say "each of the ${#machine_of[@]} processes counts again: none waits for ever"
all_end
killed "${process[store]}"
judge

# The control: what the fence prevents, the account finds.
echo
without_fence
status=0
judge >/dev/shm/verdict || status=$?
sed 's/^/  | /' /dev/shm/verdict
{ [ "$status" = 1 ] && grep -q 'WRONG: .* increments are lost' /dev/shm/verdict &&
    grep -q "WRONG: a write with token $late was accepted after" /dev/shm/verdict; } ||
    die "the account does not find the damage"
echo "that is as expected: without the fence, the account finds the damage"
