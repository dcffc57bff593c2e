#!/usr/bin/env bash
# Proves: Linux processes and an emulated microcontroller share a lock in one memory, the file that
# is the machine's RAM; each recovers it from the other, reset or killed at any instruction, and no
# count is lost. The same test loses counts without a lock, and with a lock whose exclusives the
# emulator does not keep. Its parts end after fixed times, and print how much they have done.
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

# The judge removes its files, unless it is killed.
memory=$(mktemp -d /dev/shm/one-memory.XXXXXX)
trap 'rm -rf "$memory"' EXIT

# judge MACHINE RUN OPTION...: lets all parties run, and judges. `timeout` ends the emulators as
# well, which are in its process group. Drops the warning that the board has no network.
judge() {
    local target=thumbv8m.main-none-eabi
    [ "$1" = mps2-an521 ] || target=thumbv7m-none-eabi
    timeout --kill-after=5 170 "$CARGO_TARGET_DIR/release/one-memory-judge" \
        "${@:2}" directory="$memory" -- \
        qemu-system-arm -M "$1" "${accelerator[@]}" \
        -kernel "$CARGO_TARGET_DIR/$target/release/shmlock-one-memory-firmware" \
        2> >(grep -v 'has no peer' >&2)
}

# deaths OPTION...: with one instruction per block, a reset comes after any instruction.
deaths() {
    local accelerator
    read -ra accelerator <<<"$(one_instruction_per_block qemu-system-arm)"
    judge mps2-an521 deaths seconds=12 "$@"
}

# With a thread for each core. The emulator keeps exclusives and barriers only if there are several.
accelerator=(-accel "tcg,thread=multi")
step "build: Linux" linux
step "build: 2 x Cortex-M33" firmware thumbv8m.main-none-eabi an521
step "build: Cortex-M3" firmware thumbv7m-none-eabi an385
for lock in word ticket; do
    step "$lock: Cortex-M33, process" judge mps2-an521 exact lock=$lock seconds=8
    step "$lock: 2 x Cortex-M33, 2 processes" \
        judge mps2-an521 exact lock=$lock cores=2 processes=2 seconds=8
    # The ticket lock spends its time on hand-overs. With longer critical sections, deaths hit them.
    pauses=500
    [ $lock = word ] || pauses=3000
    step "$lock: Cortex-M33 reset, process killed" deaths lock=$lock pauses=$pauses
    step "$lock: 2 x Cortex-M33 reset, process killed" \
        deaths lock=$lock pauses=$pauses machines=2
done
step "word: one of two cores reset, 2 killed" deaths lock=word pauses=500 cores=2 processes=2
step "word: Cortex-M3, emulated alone" judge mps2-an385 control lock=word
step "no lock: Cortex-M33, process" judge mps2-an521 control lock=none
end
