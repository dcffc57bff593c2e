#!/usr/bin/env bash
# Shows the fleet lock on one machine: a real etcd of three members, and three "machines" whose
# processes count on one fenced store, while processes are killed and stopped, machines are cut off
# and a member dies. Ends with an exact account, and fails if it is wrong.
#
#   bash fleet/demo.sh [--seconds N] [--without-fence]
#
# N, by default 45, is the time for the faults. The account must be wrong with `--without-fence`:
# the store then accepts old tokens. Each run ends with such a control.
# Everything happens in namespaces of its own, which end with their first process: nothing is left
# behind, whatever ends the demonstration.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"

usage='usage: bash fleet/demo.sh [--seconds N] [--without-fence]'
seconds=45 fence=with
while [ $# -gt 0 ]; do
    case $1 in
        --seconds)
            [[ ${2-} =~ ^[0-9]+$ ]] || die "$1 takes a number; $usage"
            seconds=$2
            shift
            ;;
        --without-fence) fence=without ;;
        *) die "unknown argument: $1; $usage" ;;
    esac
    shift
done

. ci/lib/etcd.sh
for program in ip unshare nsenter setpriv; do
    command -v "$program" >/dev/null ||
        { [ "$(id -u)" = 0 ] && apt-get install -qq -y iproute2 util-linux >/dev/null; } ||
        skip "the program $program is neither installed nor installable"
done

# An ordinary user becomes root of a namespace of users, where the system allows it.
apart=(unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || apart+=(--user --map-root-user)
probe='mount -t tmpfs tmpfs /dev/shm && hostname probe &&
    ip link add bridge type bridge && ip link add one type veth peer name two'
refusal=$("${apart[@]}" sh -c "$probe" 2>&1) ||
    skip "this system allows no namespaces with networks of their own: $refusal"

cargo build --quiet -p shmlock-fleet --examples
cargo build --quiet -p shmlock-cli --features fleet
target=${CARGO_TARGET_DIR:-target}

# The processes inside tell their namespaces, so that they can be looked for afterwards. The file
# has no name: nothing has to remove it.
namespaces=$(mktemp)
exec 3<>"$namespaces"
rm -f "$namespaces"

inside=
trap '[ -z "$inside" ] || { kill -KILL "$inside" && wait "$inside"; } 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

PATH=$(realpath "$target")/debug/examples:$(realpath "$target")/debug:$PATH \
    setpriv --pdeathsig KILL "${apart[@]}" \
    bash fleet/demo/inside.sh "$seconds" "$fence" </dev/null &
inside=$!
status=0
wait "$inside" || status=$?
inside=

[ -s /dev/fd/3 ] || die "the demonstration did not begin"
left=$(readlink /proc/[0-9]*/ns/{net,mnt,pid} 2>/dev/null | grep -cxFf /dev/fd/3) || true
[ "$left" = 0 ] || die "$left namespaces of processes are left behind"
exit "$status"
