#!/usr/bin/env bash
# Proves: a process may be killed, interrupted by a signal, or stopped at any instruction of any
# call, and no other process is harmed. The test suite samples the instructions of each phase; this
# takes all, of an optimised build.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

export SHMLOCK_SWEEP_EVERY=${SHMLOCK_SWEEP_EVERY:-1}
export SHMLOCK_TESTS_BOUND=${SHMLOCK_TESTS_BOUND:-1200}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --release -p shmlock-tests --no-fail-fast \
    --test killed_anywhere --test signalled_anywhere --test frozen_anywhere </dev/null 2>&1 |
    tee "$log" || status=$?
! grep -q '^skipped: ' "$log" || skip "processes cannot be single-stepped here, see above"

awk -v failures="$(grep -c '^FAILED: ' "$log" || true)" '
    /^swept: / {
        phases++
        match($0, /: [0-9]+ of [0-9]+ instructions/); split(substr($0, RSTART + 2), part, " ")
        swept += part[1]; instructions += part[3]
        match($0, /[0-9]+ elsewhere/); elsewhere += substr($0, RSTART)
        match($0, /[0-9]+ out of reach/); out += substr($0, RSTART)
        match($0, /[0-9.]+ s$/); seconds += substr($0, RSTART)
        if (match($0, /at most [0-9.]+/)) wait = substr($0, RSTART + 8) + 0
        if (wait > longest) longest = wait
    }
    END {
        printf "%d sweeps: %d of %d instructions, %d out of reach, %d elsewhere, %d failures, ", \
            phases, swept, instructions, out, elsewhere, failures
        printf "longest wait %.2f intervals, %.0f s\n", longest, seconds
    }' "$log"
exit "$status"
