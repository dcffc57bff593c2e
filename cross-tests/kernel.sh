#!/usr/bin/env bash
# kernel.sh [TARGET...]: runs the tests that depend on the kernel under Debian's kernel for TARGET,
# or for all targets, in emulated machines at the same time.
# Proves: fork, signals, exit handlers, death by SIGKILL and by the OOM killer are handled right
# under an ARM kernel; locks work in memory of a PCI device and by /dev/mem, and exclusives are
# probed; and on aarch64, 64-bit and 32-bit processes share a lock.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
use_linux_targets
needs qemu-system-aarch64 qemu-system-arm cpio cpio
targets=("${@:-${arm_linux[@]}}")
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# An emulated machine with a kernel is slowest, so rounds are fewest here.
export SHMLOCK_TESTS_SLOWER=20 SHMLOCK_TESTS_BOUND=240 RUST_BACKTRACE=0

# Patterns of files in tests/tests: the tests that depend on the kernel.
wanted=(fork 'exit_handlers*' 'signals*' 'owner_*' lifeline out_of_memory timeouts removed_files
    python_scenarios 'bad_*' 'flaw_*' namespaces 'trust*' inspection
    clocks recovery_time incomplete_files time_namespaces
    'physical_*' probed_exclusives remoteproc)

build() {
    local pattern file wanted_here=()
    for pattern in "${wanted[@]}" mixed_processors; do
        # shellcheck disable=SC2086 # a pattern
        for file in tests/tests/$pattern.rs; do
            [ -e "$file" ] || { echo "no test is named $pattern" >&2 && return 1; }
            wanted_here+=("$file")
        done
    done
    cargo test "${arm_suite[@]}" --no-run --target "$1" >"$logs/build" 2>&1 ||
        { cat "$logs/build" && return 1; }
    # Cargo prints relative paths; the emulated machine needs absolute ones. With the shell's own
    # tests, which fork, and access memory that faults.
    sed -n 's/^ *Executable \(.*\) (\(.*\))$/\1 \2/p' "$logs/build" |
        awk 'NR == FNR { wanted[$1]; next } "tests/" $1 in wanted { print $2 }
            $1 == "unittests" && $3 ~ /\/shmlock-[0-9a-f]+$/ { print $3 }' \
            <(printf '%s\n' "${wanted_here[@]}") - |
        xargs realpath >"$logs/programs.$1"
    [ "$(wc -l <"$logs/programs.$1")" = $((${#wanted_here[@]} + 1)) ]
}

run() {
    local actors=''
    case $1 in
        aarch64-*) actors=armv7=$CARGO_TARGET_DIR/${arm_linux[1]}/debug/actor ;;
        *) sed -i '/mixed_processors/d' "$logs/programs.$1" ;;
    esac
    # The machine's clock may be set, and the memory of its device be written: it is used by these
    # tests only.
    SHMLOCK_ACTORS=$actors SHMLOCK_TESTS_MAY_SET_CLOCK=1 SHMLOCK_TESTS_MAY_WRITE_IVSHMEM=1 \
        bash cross-tests/kernel/boot.sh "$1" - <"$logs/programs.$1" >"$logs/$1" 2>&1
}

result() {
    local status=0
    wait "$2" || status=$?
    took=$(cat "$logs/$1.took")
    if [ "$status" = 0 ]; then
        grep -aE '^(init:|test result|skipped:)' "$logs/$1"
    else
        cat "$logs/$1"
    fi
    return "$status"
}

for target in "${targets[@]}"; do
    kernel_of "$target" >/dev/null || skip "Debian's kernel for $target cannot be downloaded"
done
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
declare -A running
for target in "${targets[@]}"; do step "$target: build" build "$target"; done
[ -e "$CARGO_TARGET_DIR/${arm_linux[1]}/debug/actor" ] ||
    step "${arm_linux[1]}: actor" build "${arm_linux[1]}"
for target in "${targets[@]}"; do
    timed "$logs/$target.took" run "$target" &
    running[$target]=$!
done
for target in "${targets[@]}"; do
    step "$target: tests under its kernel" result "$target" "${running[$target]}"
done
end
