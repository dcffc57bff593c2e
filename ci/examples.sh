#!/usr/bin/env bash
# Proves: every example runs to its end by itself, and leaves nothing behind in /dev/shm.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

shm_files() { find /dev/shm -maxdepth 1 -name '*shmlock*' | sort; }
run() {
    echo "--- $*"
    timeout --kill-after=5 120 cargo run --quiet -p shmlock-examples --example "$1" -- "${@:2}" </dev/null
}

cargo build --quiet -p shmlock-examples --examples
before=$(shm_files)
for example in examples/*.rs; do
    name=$(basename "$example" .rs)
    case $name in counter | costs) continue ;; esac # see below
    run "$name"
done
for name in with_timeout recover_dead_owner; do # an argument must not make it the second process, which waits for ever
    status=0
    run "$name" --help || status=$?
    [ "$status" = 1 ] || die "$name did not refuse an argument: $status"
done
run counter --processes 4 --increments 5000
run counter --processes 4 --increments 5000 --kill
run counter --processes 4 --increments 5000 --no-lock # loses counts and says so: the proof that the lock is needed

# What takes long is left out: of each kind of contender one, of each program the short form. What the figures say is for
# quiet machines; that no lock loses a count, and no lock at all loses some, is for every machine.
measure() {
    echo "--- $*"
    timeout --kill-after=5 300 cargo run --quiet --release -p shmlock-comparison --bin "$1" -- --quick "${@:2}" </dev/null
}
if [ -z "${SHMLOCK_EXAMPLES_RUNNER:-}" ]; then # an emulator's figures would be its own
    timeout --kill-after=5 300 cargo run --quiet --release -p shmlock-examples --example costs </dev/null
    cargo build --quiet --release -p shmlock-comparison
    measure shmlock-comparison --only 'no lock' --only shmlock --only flock
    measure poll_sweep --only 'shmlock poll 50 ms' --only 'shmlock poll 1 ms'
fi

left=$(comm -13 <(echo "$before") <(shm_files))
[ -z "$left" ] || die "left behind by the examples, or by something else that ran meanwhile: $left"
