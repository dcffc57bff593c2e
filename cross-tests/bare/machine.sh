# Sourced after ci/lib/common.sh: builds for machines without an operating system, and runs programs
# in their emulators.
# shellcheck shell=bash
. cross-tests/lib.sh

# use_machines: provides compilers, linkers and emulators.
use_machines() {
    needs qemu-system-arm qemu-system-arm qemu-system-aarch64 qemu-system-arm
    bare_targets aarch64-unknown-none armv7a-none-eabi \
        thumbv8m.main-none-eabi thumbv7m-none-eabi thumbv6m-none-eabi
}

# build TARGET MACHINE [FEATURE]: builds the program for one machine, with a processor feature or
# not.
build() {
    local name flags
    name=CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$1")_RUSTFLAGS
    flags="${!name}${3:+ -C target-feature=$3}"
    env "$name=$flags" cargo build --locked --quiet --release \
        --manifest-path cross-tests/bare/Cargo.toml --target "$1" --features "$2" \
        --target-dir "$CARGO_TARGET_DIR/${3:-plain}"
}

# program TARGET [FEATURE]: prints the path of the program.
program() { echo "$CARGO_TARGET_DIR/${2:-plain}/$1/release/shmlock-bare"; }

# emulate "ARGUMENT..." QEMU...: runs a program; its exit code is the emulator's. Drops the warning
# of some boards that they have no network.
emulate() {
    local semihosting=enable=on,target=native,arg=shmlock-bare word
    for word in $1; do semihosting+=,arg=$word; done
    timeout --kill-after=5 120 "${@:2}" -display none -serial none -monitor none -nic none \
        -semihosting-config "$semihosting" 2> >(grep -v 'has no peer' >&2)
}
