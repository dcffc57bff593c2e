#!/usr/bin/env bash
# Proves: libshmlock.so.1 works on aarch64 and armv7 under user-mode emulators: the examples in C
# and C++ print what they should, and C programs of three architectures and a Rust program count in
# one file under a lock that they know by its name.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
. ci/lib/ffi_shell.sh
use_linux_targets
needs aarch64-linux-gnu-g++ g++-aarch64-linux-gnu arm-linux-gnueabihf-g++ g++-arm-linux-gnueabihf
command -v cc >/dev/null || skip "no C compiler; install one, as the package gcc"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build COMPILER DIRECTORY TARGET: builds the library and the examples.
build() {
    local name
    bash ffi/shell/install.sh "$3" "$2" /usr/lib || return
    for name in named_counter named_recover named_signal; do
        shell_program "$1" "$2" "examples/c/$name.c" "$2/$name" || return
    done
    ! command -v "$(cpp_of "$1")" >/dev/null ||
        shell_program "$1" "$2" examples/cpp/guards.cpp "$2/guards"
}
# prints DIRECTORY COMMAND...: the examples in C and C++ under a runner print what they should.
prints() {
    output_is_expected examples/c/named_recover.c "${@:2}" "$1/named_recover" &&
        output_is_expected examples/c/named_signal.c "${@:2}" "$1/named_signal" &&
        { [ ! -e "$1/guards" ] || output_is_expected examples/cpp/guards.cpp "${@:2}" "$1/guards"; }
}
rust() { cargo build --quiet -p shmlock-examples --example counter; }
together() { count_in "$work/number" 2000 "${counters[@]}"; }

counters=("env LD_LIBRARY_PATH=$work/host/usr/lib $work/host/named_counter $work/number 500")
step "build for this machine" build cc "$work/host" ""
for target in "${arm_linux[@]}"; do
    qemu=$(emulator "$target") ||
        skip "no user-mode emulator for $target: install qemu-user-static"
    gcc=$(c_compiler "$target")
    run=("$qemu" -L "/usr/${gcc%-gcc}" -E "LD_LIBRARY_PATH=$work/$target/usr/lib")
    step "$target: build" build "$gcc" "$work/$target" "$target"
    step "$target: examples" prints "$work/$target" "${run[@]}"
    step "$target: without the lock" \
        loses_by_name "$work/number" "${run[@]}" "$work/$target/named_counter"
    counters+=("${run[*]} $work/$target/named_counter $work/number 500")
done
step "Rust for this machine" rust
counters+=("$CARGO_TARGET_DIR/debug/examples/counter $work/number")
step "all of them count" together
end
