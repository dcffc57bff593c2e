# Sourced by count.sh: the same counts for programs on Linux, by user-mode emulators.
# shellcheck shell=bash
. cross-tests/linux.sh

locks=(region shmlock mutex robust)

# use_linux: builds the programs, if there is a compiler and an emulator for them. Before `use_machines`, which may
# choose another compiler.
use_linux() {
    use_linux_targets
    linux_dir=${CARGO_TARGET_DIR:-$PWD/target}/cost
    local target flags
    for target in "${arm_linux[@]}"; do
        emulator "$target" >/dev/null || skip "no user-mode emulator for $target: install qemu-user-static"
        flags=$(variable "$target" RUSTFLAGS)
        # Loaded where the symbol table says.
        step "build for $target" env "$flags=${!flags} -C relocation-model=static" cargo build --locked --quiet --release \
            --manifest-path cross-tests/probes/cost/Cargo.toml --target "$target" --target-dir "$linux_dir"
    done
}

# linux NAME TARGET CPU: a row of the table, and the comparison.
linux() {
    local qemu lock row="| $1" file count sums=()
    qemu=$(emulator "$2")
    for lock in "${locks[@]}"; do
        file=$linux_dir/$2/release/$lock
        count=$(QEMU_CPU=$3 counted "$file" "$qemu" "$(one_instruction_per_block "$qemu")") || count=?
        # "$file" "$qemu"
        row+=" | $count"
        sums+=("$((${count/\?/0}))")
    done
    rows+="$row |"$'\n'
    echo "    together: ${locks[*]}: ${sums[*]}"
    [ "${sums[1]}" -gt 0 ] && [ "${sums[1]}" -le "${sums[3]}" ]
}

count_on_linux() {
    step "AArch64 Linux, LSE" linux "AArch64 Linux, LSE" aarch64-unknown-linux-gnu max
    step "AArch64 Linux, exclusive pairs" linux "AArch64 Linux, exclusive pairs" aarch64-unknown-linux-gnu cortex-a53
    step "ARMv7 Linux" linux "ARMv7 Linux" armv7-unknown-linux-gnueabihf cortex-a15
}
