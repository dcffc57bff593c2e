#!/usr/bin/env bash
# Proves: Linux processes and an emulated microcontroller share a lock in one memory, the file that
# is the machine's RAM; and the same test loses counts without a lock, and with one whose exclusives
# the emulator does not keep.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/lib.sh
needs qemu-system-arm qemu-system-arm
bare_targets thumbv8m.main-none-eabi thumbv7m-none-eabi

# firmware TARGET MACHINE: builds the microcontroller's program.
firmware() {
    cargo build --locked --quiet --release --target "$1" --features "$2" \
        --manifest-path cross-tests/one_memory/firmware/Cargo.toml
}

linux() { cargo build --locked --quiet --release -p shmlock-one-memory-linux; }

# judge MACHINE RUN OPTION...: lets all parties run, and judges. `timeout` ends the emulator as
# well, which is in its process group. Drops the warning that the board has no network.
judge() {
    local target=thumbv8m.main-none-eabi
    [ "$1" = mps2-an521 ] || target=thumbv7m-none-eabi
    timeout --kill-after=5 150 "$CARGO_TARGET_DIR/release/one-memory-judge" "${@:2}" -- \
        qemu-system-arm -M "$1" -accel tcg,thread=multi \
        -kernel "$CARGO_TARGET_DIR/$target/release/shmlock-one-memory-firmware" \
        2> >(grep -v 'has no peer' >&2)
}

step "build: Linux" linux
step "build: 2 x Cortex-M33" firmware thumbv8m.main-none-eabi an521
step "build: Cortex-M3" firmware thumbv7m-none-eabi an385
step "word lock: Cortex-M33, process" judge mps2-an521 exact lock=word seconds=15
step "word lock: 2 x Cortex-M33, 2 processes" \
    judge mps2-an521 exact lock=word cores=2 processes=2 seconds=15
step "no lock: Cortex-M33, process" judge mps2-an521 control lock=none
step "word lock: Cortex-M3, emulated alone" judge mps2-an385 control lock=word
end
