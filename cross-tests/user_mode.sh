#!/usr/bin/env bash
# user_mode.sh TARGET CPU...: the whole suite and the examples for TARGET, by a user-mode emulator of each CPU.
# Proves: widths, atomics and system calls are right on this target. Says which tests it skipped, and why.
# shellcheck disable=SC2317 # functions are called by `step`
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
use_linux_targets
target=$1 cpus=("${@:2}")
qemu=$(emulator "$target") || skip "no user-mode emulator for $target: install qemu-user-static"
export CARGO_BUILD_TARGET=$target "$(variable "$target" RUNNER)=$qemu" SHMLOCK_EXAMPLES_RUNNER=$qemu
# One test at a time: an emulated process inherits in the moment of its start what it should not (MADV_DONTFORK), and
# would be seen in the files of another test. The second core is for the second CPU.
export RUST_TEST_THREADS=1

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
suite() { QEMU_CPU=$1 bash ci/test.sh >"$logs/$1" 2>&1; }
result() { wait "$2" || { cat "$logs/$1"; return 1; }; }
step "$target: build" cargo test --quiet --workspace --no-run
declare -A running
for cpu in "${cpus[@]}"; do suite "$cpu" & running[$cpu]=$!; done
for cpu in "${cpus[@]}"; do step "$target: tests, $cpu" result "$cpu" "${running[$cpu]}"; done
for cpu in "${cpus[@]}"; do QEMU_CPU=$cpu step "$target: examples, $cpu" bash ci/examples.sh; done

awk '/^test result: ok/ { passed += $4 } END { print passed " tests passed" }' "$logs"/*
echo "of these, skipped here and run by a kernel instead:"
cat "$logs"/* | grep -oh 'skipped: .*' | sort -u || echo "none"
end
