#!/usr/bin/env bash
# user_mode.sh [TARGET]: the whole suite and the examples by user-mode emulators, for TARGET or for all; each target by a
# processor for each form of atomics that it has.
# Proves: widths, atomics and system calls are right there. Says which tests it skipped, and why.
# shellcheck disable=SC2317 # functions are called by `step`
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
use_linux_targets
declare -A processors=(
    [aarch64-unknown-linux-gnu]="max cortex-a53" # atomics as single instructions, and as exclusive loads and stores
    [armv7-unknown-linux-gnueabihf]="max"        # has the latter only
)
targets=("${@:-${arm_linux[@]}}")
# One test at a time: an emulated process inherits in the moment of its start what it should not (MADV_DONTFORK), and
# would be seen in the files of another test. The other core is for the other processors.
export RUST_TEST_THREADS=1
# What is done often is done less often: it is the same code, and an emulator is no machine to look for races on.
export SHMLOCK_TESTS_SLOWER=10

on() { CARGO_BUILD_TARGET=$1 QEMU_CPU=$2 SHMLOCK_EXAMPLES_RUNNER=${qemu[$1]} "${@:3}"; }
tests() { on "$1" "$2" cargo test --no-fail-fast "${arm_suite[@]}" >"$logs/$1.$2" 2>&1 </dev/null; }
# shellcheck disable=SC2034 # `took` is for `step`
result() {
    local status=0
    wait "$2" || { status=1 && cat "$logs/$1"; }
    took=$(cat "$logs/$1.took")
    return "$status"
}
declare -A qemu running
for target in "${targets[@]}"; do
    qemu[$target]=$(emulator "$target") || skip "no user-mode emulator for $target: install qemu-user-static"
    export "$(variable "$target" RUNNER)=${qemu[$target]}"
done

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
for target in "${targets[@]}"; do
    step "$target: build" cargo test --quiet "${arm_suite[@]}" --no-run --target "$target"
    for cpu in ${processors[$target]}; do timed "$logs/$target.$cpu.took" tests "$target" "$cpu" & running[$target.$cpu]=$!; done
done
for target in "${targets[@]}"; do
    for cpu in ${processors[$target]}; do
        step "$target: tests, $cpu" result "$target.$cpu" "${running[$target.$cpu]}"
    done
done
for target in "${targets[@]}"; do
    for cpu in ${processors[$target]}; do step "$target: examples, $cpu" on "$target" "$cpu" bash ci/examples.sh; done
done

awk '/^test result: ok/ { passed += $4 } END { print passed " tests passed" }' "$logs"/*
echo "of these, skipped here and run by a kernel instead:"
cat "$logs"/* | grep -oh 'skipped: .*' | sort -u || echo "none"
end
