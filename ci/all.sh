#!/usr/bin/env bash
# Runs every job, or those named as arguments, goes on after a failure, and ends with a table.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

jobs=("$@")
[ $# -gt 0 ] || jobs=(test fmt lint doc examples ffi peer recipes no_std msrv package deny instructions loom miri sanitizers fuzz torture cross)

# Where nobody watches, a job that hangs must not cost the others their turn. (Under `timeout`, Ctrl-C would not work.)
# And nothing is built twice there with a change between: what that would need takes gigabytes. Nor does anybody start a
# debugger: a panic names its line without what takes a tenth of the time to write.
limit=()
[ -z "${CI:-}" ] || {
    limit=(timeout --kill-after=10 1500)
    export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=none
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

table='' failed=0 last_words=''
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
        124) verdict="FAILED: no end within 25 minutes" ;;
        *) verdict=FAILED ;;
    esac
    if [[ $verdict == FAILED* ]]; then
        failed=1
        [ -t 1 ] || last_words+=$(printf '\n=== %s failed. Its last lines:\n' "$job" && tail -n 40 "$log")$'\n'
    fi
    table+=$(printf '%-12s %4d s  %s' "$job" "$SECONDS" "$verdict")$'\n'
done
# Where output goes to a log, what somebody looks for first stands at its end.
printf '%s\n%s' "$last_words" "$table"
exit "$failed"
