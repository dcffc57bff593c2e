#!/usr/bin/env bash
# Runs every job, or the jobs in the arguments, and prints a table. A failure does not stop it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

jobs=("$@")
[ $# -gt 0 ] || jobs=(test fmt lint doc examples ffi ffi_shell python peer recipes no_std msrv package
    packages workflows deny instructions core_size loom litmus miri sanitizers fuzz torture fleet
    cross)

# On a build machine, a job that hangs must not stop the others. (Under `timeout`, Ctrl-C would not
# work.) Incremental builds and debug information would take gigabytes and time; a panic names its
# line without them.
minutes=50 limit=()
[ -z "${CI:-}" ] || {
    limit=(timeout --kill-after=10 $((60 * minutes)))
    export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=none
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

table='' failed=0 last_lines=''
for job in "${jobs[@]}"; do
    printf '\n=== %s\n' "$job"
    SECONDS=0 status=0
    if [ -t 1 ]; then
        "${limit[@]}" bash "ci/$job.sh" </dev/null || status=$?
    else
        "${limit[@]}" bash "ci/$job.sh" </dev/null 2>&1 | tee "$log" || status=$?
    fi
    case $status in
        0) verdict=ok ;;
        77) verdict="skipped, see above" ;;
        124) verdict="FAILED: it did not end within $minutes minutes" ;;
        *) verdict=FAILED ;;
    esac
    if [[ $verdict == FAILED* ]]; then
        failed=1
        [ -t 1 ] ||
            last_lines+=$(printf '\n=== %s failed. Its last lines:\n' "$job"
                tail -n 40 "$log")$'\n'
    fi
    table+=$(printf '%-12s %4d s  %s' "$job" "$SECONDS" "$verdict")$'\n'
done
# In a log, the last lines of failed jobs and the table come last.
printf '%s\n%s' "$last_lines" "$table"
exit "$failed"
