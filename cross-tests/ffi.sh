#!/usr/bin/env bash
# Proves: the C library works on aarch64 and armv7 under user-mode emulators: the C examples print
# what they should, no function can panic, and C programs of three architectures and a Rust program
# share one region at the same time.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
. ci/lib/ffi.sh
use_linux_targets
command -v cc >/dev/null || skip "no C compiler; install one, as the package gcc"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build COMPILER DIRECTORY [TARGET]: builds the archive and the examples.
build() {
    local archive program
    archive=$(archive "${3-}") || return
    mkdir -p "$2" && no_panics "$1" "$archive" "$2" || return
    for program in counter recover forked; do
        c_program "$1" "$archive" "examples/c/$program.c" "$2/$program" -static || return
    done
}

rust() { cargo build --quiet --release -p shmlock-examples --example mapped_region; }

# One program of each architecture: all must agree on the word, the futex and the record.
together() {
    count_together "$work/region" 50000 "${counters[@]}" \
        "$CARGO_TARGET_DIR/release/examples/mapped_region"
}

counters=("$work/host/counter")
step "build for this machine" build cc "$work/host"
for target in "${arm_linux[@]}"; do
    qemu=$(emulator "$target") ||
        skip "no user-mode emulator for $target: install qemu-user-static"
    step "$target: build" build "$(c_compiler "$target")" "$work/$target" "$target"
    step "$target: recover" recovers "$qemu" "$work/$target/recover"
    step "$target: fork" forks "$qemu" "$work/$target/forked"
    step "$target: two count" count_together "$work/region" 50000 \
        "$qemu $work/$target/counter" "$qemu $work/$target/counter"
    step "$target: without the lock" \
        loses_without_the_lock "$work/region" "$qemu" "$work/$target/counter"
    counters+=("$qemu $work/$target/counter")
done
step "Rust for this machine" rust
step "all of them count" together
end
