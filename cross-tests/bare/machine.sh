# Sourced after ci/lib/common.sh: how to build for a machine without an operating system, and how to run there.
# shellcheck shell=bash
. cross-tests/lib.sh

# use_machines: compilers, linkers and emulators for all of them.
use_machines() {
    needs qemu-system-arm qemu-system-arm qemu-system-aarch64 qemu-system-arm
    bare_targets aarch64-unknown-none armv7a-none-eabi thumbv8m.main-none-eabi thumbv7m-none-eabi thumbv6m-none-eabi
}

# build TARGET MACHINE [FEATURE]: the program for one machine, with or without a feature of the core.
build() {
    local name flags
    name=CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$1")_RUSTFLAGS
    flags="${!name}${3:+ -C target-feature=$3}"
    env "$name=$flags" cargo build --locked --quiet --release --manifest-path cross-tests/bare/Cargo.toml \
        --target "$1" --features "$2" --target-dir "$CARGO_TARGET_DIR/${3:-plain}"
}

# program TARGET [FEATURE]: what `build` made.
program() { echo "$CARGO_TARGET_DIR/${2:-plain}/$1/release/shmlock-bare"; }

# emulate "ARGUMENT..." QEMU...: runs a program; its exit code is the emulator's. Some boards miss a network aloud.
emulate() {
    local semihosting=enable=on,target=native,arg=shmlock-bare word
    for word in $1; do semihosting+=,arg=$word; done
    timeout --kill-after=5 120 "${@:2}" -display none -serial none -monitor none -nic none \
        -semihosting-config "$semihosting" 2> >(grep -v 'has no peer' >&2)
}
