#!/usr/bin/env bash
# Proves: the code works on ARM, as far as an x86-64 machine can show (cross-tests/README.md): under
# user-mode emulators, among processes of several architectures, under ARM Linux kernels, and on
# bare metal. The table has a line for each script in cross-tests/ and for each of its steps. Each
# script can be run by itself.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# Two lanes at the same time, because much of the time is spent waiting: machine emulators, and
# user-mode emulators. The kernel tests come last: they run programs that user_mode builds. The
# output of the machines is printed at the end.
lanes=$(mktemp -d)
trap 'rm -r "$lanes"' EXIT

# lane NAME JOB...: runs the jobs in order; writes a line for each job and step to its table.
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

# First, because rustup cannot run twice at the same time.
(. cross-tests/linux.sh && use_linux_targets) || true
lane machines bare/run one_memory probes/run probes/count lint kernel >"$lanes/log" 2>&1 &
machines=$! status=0
lane programs user_mode mixed ffi ffi_shell
wait "$machines" || status=$?
cat "$lanes/log"
echo
cat "$lanes/table.programs" "$lanes/table.machines"
[ "$status" = 0 ] || die "the lane of the machines has ended in the middle: status $status"
[ -s "$lanes/ran.programs" ] || [ -s "$lanes/ran.machines" ] || skip "no script can run here"
[ ! -s "$lanes/failed.programs" ] && [ ! -s "$lanes/failed.machines" ]
