#!/usr/bin/env bash
# Proves: the same code works on ARM, as far as an x86-64 machine can tell (cross-tests/README.md): by emulators of
# system calls, among processes of several processors, under ARM's Linux kernels, and without any.
# The final table has a line for each script in cross-tests/, which can be run by itself, and below it one for each target.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

SHMLOCK_STEPS=$(mktemp)
export SHMLOCK_STEPS
trap 'rm "$SHMLOCK_STEPS"' EXIT
table='' failed=0 ran=0
for job in user_mode mixed ffi kernel bare/run probes/run probes/count lint; do
    printf '\n=== cross-tests/%s.sh\n' "$job"
    SECONDS=0 status=0
    bash "cross-tests/$job.sh" </dev/null || status=$?
    case $status in
        0) verdict=ok ran=1 ;;
        77) verdict="skipped, see above" ;;
        *) verdict="FAILED" failed=1 ran=1 ;;
    esac
    table+=$(printf '%-44s %6d s  %s' "$job.sh" "$SECONDS" "$verdict")$'\n'
    table+=$(sed 's/^/    /' "$SHMLOCK_STEPS")$'\n'
    : >"$SHMLOCK_STEPS"
done
printf '\n%s' "$table"
[ "$ran" = 1 ] || skip "nothing of this can run here"
exit "$failed"
