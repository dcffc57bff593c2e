#!/usr/bin/env bash
# Proves: every example and every measuring program runs to its end by itself, and leaves nothing
# behind in /dev/shm.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# In a /dev/shm of its own, where that is permitted: there every file is the examples'.
if [ -z "${SHMLOCK_EXAMPLES_APART:-}" ]; then
    export SHMLOCK_EXAMPLES_APART=yes
    # shellcheck disable=SC2016 # expanded by the shell within
    apart=(unshare --mount bash -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' -)
    if [ "$(id -u)" = 0 ] && "${apart[@]}" true 2>/dev/null; then
        exec "${apart[@]}" bash ci/examples.sh
    fi
    echo "cannot mount a private /dev/shm: using the common one"
fi

shm_files() { find /dev/shm -maxdepth 1 -name '*shmlock*' | sort; }
# run PACKAGE ARGUMENT...: `cargo run`, bounded.
run() {
    echo "--- $*"
    timeout --kill-after=5 300 cargo run --quiet -p "$1" "${@:2}" </dev/null
}
example() { run shmlock-examples --example "$1" -- "${@:2}"; }

cargo build --quiet -p shmlock-examples --examples
before=$(shm_files)
for file in examples/*.rs; do
    name=$(basename "$file" .rs)
    [ "$name" = mapped_region ] || example "$name" # it needs arguments, see below
done
for name in recover_dead_owner shared_block; do # a wrong argument is no second process
    status=0
    example "$name" --help || status=$?
    [ "$status" = 1 ] || die "$name did not refuse an argument: $status"
done
region=$(mktemp)
trap 'rm -f "$region"' EXIT
example mapped_region "$region" 1 500000 &
other=$!
if ! example mapped_region "$region" 2 500000 || ! wait "$other"; then die "mapped_region failed"; fi
counted=$(od -A n -t u4 -j 128 -N 4 "$region" | tr -d ' ')
[ "$counted" = 1000000 ] || die "mapped_region: $counted of 1000000 increments counted"

counting() { run shmlock-counting -- --processes 4 --increments 5000 "$@"; }
counting
counting --kill
counting --no-lock # loses counts and says so: the proof that the lock is needed

# The short form, and one contender of each kind: the figures are for quiet machines. That no lock
# loses a count, and that without a lock some are lost, holds on every machine.
compare() { run shmlock-comparison --release --bin "$1" -- --quick "${@:2}"; }
if [ -z "${SHMLOCK_EXAMPLES_RUNNER:-}" ]; then # an emulator's figures would be its own
    run shmlock-costs --release
    run shmlock-opening --release -- --rounds 20 --handles 200
    cargo build --quiet --release -p shmlock-comparison
    plots=$(mktemp -d)
    trap 'rm -rf "$region" "$plots"' EXIT
    compare shmlock-comparison --only 'no lock' --only shmlock --only flock --plots "$plots"
    for plot in throughput-work wake-ups deaths appendix/opening; do
        grep -q '^shmlock' "$plots/$plot.svg" || die "the plot $plot does not name shmlock"
    done
    compare poll_sweep --only 'shmlock poll 50 ms' --only 'shmlock poll 1 ms'
fi

left=$(comm -13 <(echo "$before") <(shm_files))
[ -z "$left" ] || die "left behind by the examples, or by another program meanwhile: $left"
