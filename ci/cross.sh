#!/usr/bin/env bash
# Proves: the same code works on ARM, as far as an x86-64 machine can tell (cross-tests/README.md): by emulators of
# system calls, among processes of several processors, under ARM's Linux kernels, and without any.
# The final table has a line for each script in cross-tests/, which can be run by itself, and below it one for each target.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# Two at a time, for much of it waits: what emulates a machine, and what emulates system calls. The kernels' tests are the
# same programs as user mode's, and so come last, when those have been built. The output of the machines is shown when both
# have ended.
lanes=$(mktemp -d)
trap 'rm -r "$lanes"' EXIT

# lane NAME JOB...: one after the other; a line for each job and each of its steps into the table of this name.
lane() {
    local name=$1 job status verdict begun
    shift
    export SHMLOCK_STEPS=$lanes/steps.$name
    touch "$lanes"/{ran,failed,table}."$name"
    for job in "$@"; do
        printf '\n=== cross-tests/%s.sh\n' "$job"
        begun=$SECONDS status=0
        : >"$SHMLOCK_STEPS"
        bash "cross-tests/$job.sh" </dev/null || status=$?
        case $status in
            0) verdict=ok && echo "$job" >>"$lanes/ran.$name" ;;
            77) verdict="skipped, see above" ;;
            *) verdict=FAILED && echo "$job" | tee -a "$lanes/ran.$name" >>"$lanes/failed.$name" ;;
        esac
        {
            printf '%-44s %6d s  %s\n' "$job.sh" "$((SECONDS - begun))" "$verdict"
            sed 's/^/    /' "$SHMLOCK_STEPS"
        } >>"$lanes/table.$name"
    done
}

# Before two ask for it at one time: rustup does not expect that.
(. cross-tests/linux.sh && use_linux_targets) || true
lane machines bare/run probes/run probes/count lint kernel >"$lanes/log" 2>&1 &
lane programs user_mode mixed ffi
wait
cat "$lanes/log"
echo
cat "$lanes/table.programs" "$lanes/table.machines"
[ -s "$lanes/ran.programs" ] || [ -s "$lanes/ran.machines" ] || skip "nothing of this can run here"
[ ! -s "$lanes/failed.programs" ] && [ ! -s "$lanes/failed.machines" ]
