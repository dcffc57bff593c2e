#!/usr/bin/env bash
# Proves: the same code works on ARM, as far as an x86-64 machine can tell (cross-tests/README.md): by emulators of
# system calls, among processes of several processors, under ARM's Linux kernels, and without any.
# Each line of the final table is a script in cross-tests/ that can be run by itself.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

a64=aarch64-unknown-linux-gnu a32=armv7-unknown-linux-gnueabihf
jobs=(
    "user_mode.sh $a64 max cortex-a53" # atomics as single instructions, and as loops of exclusive loads and stores
    "user_mode.sh $a32 max"            # has the latter only
    "mixed.sh"
    "kernel.sh $a64 $a32"
    "bare/run.sh"
    "probes/run.sh"
    "probes/count.sh"
    "lint.sh"
)

table='' failed=0 ran=0
for job in "${jobs[@]}"; do
    read -ra words <<<"$job"
    [ -e "cross-tests/${words[0]}" ] || continue
    printf '\n=== cross-tests/%s\n' "$job"
    SECONDS=0 status=0
    bash "cross-tests/${words[0]}" "${words[@]:1}" </dev/null || status=$?
    case $status in
        0) verdict=ok ran=1 ;;
        77) verdict="skipped, see above" ;;
        *) verdict="FAILED" failed=1 ran=1 ;;
    esac
    table+=$(printf '%-62s %4d s  %s' "$job" "$SECONDS" "$verdict")$'\n'
done
printf '\n%s' "$table"
[ "$ran" = 1 ] || skip "nothing of this can run here"
exit "$failed"
