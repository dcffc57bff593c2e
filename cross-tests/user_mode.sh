#!/usr/bin/env bash
# user_mode.sh [TARGET]: runs the suite and the examples under user-mode emulators, for TARGET or
# for all targets, with one processor for each form of atomics that the target has.
# Proves: widths, atomics and system calls are right on ARM. Prints which tests it skipped, and why.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
use_linux_targets
declare -A processors=(
    [aarch64-unknown-linux-gnu]="max cortex-a53" # single atomic instructions; exclusive pairs
    [armv7-unknown-linux-gnueabihf]="max"        # exclusive pairs
)
targets=("${@:-${arm_linux[@]}}")
# One test at a time: without MADV_DONTFORK, an emulated process inherits mappings, with their byte
# locks, that other tests would see. The other processors run at the same time.
export RUST_TEST_THREADS=1
# Fewer rounds: the code is the same, and an emulator is the wrong place to search for races.
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
    qemu[$target]=$(emulator "$target") ||
        skip "no user-mode emulator for $target: install qemu-user-static"
    export "$(variable "$target" RUNNER)=${qemu[$target]}"
done

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
for target in "${targets[@]}"; do
    step "$target: build" cargo test --quiet "${arm_suite[@]}" --no-run --target "$target"
    for cpu in ${processors[$target]}; do
        timed "$logs/$target.$cpu.took" tests "$target" "$cpu" &
        running[$target.$cpu]=$!
    done
done
for target in "${targets[@]}"; do
    for cpu in ${processors[$target]}; do
        step "$target: tests, $cpu" result "$target.$cpu" "${running[$target.$cpu]}"
    done
done
for target in "${targets[@]}"; do
    for cpu in ${processors[$target]}; do
        step "$target: examples, $cpu" on "$target" "$cpu" bash ci/examples.sh
    done
done

awk '/^test result: ok/ { passed += $4 } END { print passed " tests passed" }' "$logs"/*
echo "of these, skipped here and run under a kernel instead:"
cat "$logs"/* | grep -oh 'skipped: .*' | sort -u || echo "none"
end
