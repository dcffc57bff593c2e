# Sourced by count.sh: the same counts for programs on Linux, by user-mode emulators.
# shellcheck shell=bash disable=SC2154 # `log` comes from count.sh
. cross-tests/linux.sh

locks=(region shmlock mutex robust)

# use_linux: builds the programs, if there are emulators to run them. Before `use_machines`, which may choose another
# compiler and changes the directory of what is built.
use_linux() {
    local target flags
    for target in "${arm_linux[@]}"; do
        emulator "$target" >/dev/null ||
            { echo "skipped on Linux: no user-mode emulator for $target; install qemu-user-static" && return 1; }
    done
    use_linux_targets
    linux_dir=${CARGO_TARGET_DIR:-$PWD/target}/cost
    for target in "${arm_linux[@]}"; do
        flags=$(variable "$target" RUSTFLAGS)
        # Loaded where the symbol table says.
        step "build for $target" env "$flags=${!flags} -C relocation-model=static" cargo build --locked --quiet \
            --release --manifest-path cross-tests/probes/cost/Cargo.toml --target "$target" --target-dir "$linux_dir"
    done
}

# linux NAME TARGET CPU: a row of the table. Fails if `ShmLock` or `RegionLock` takes more than the robust mutex.
linux() {
    local qemu lock row="| $1" file count sums=()
    qemu=$(emulator "$2")
    for lock in "${locks[@]}"; do
        file=$linux_dir/$2/release/$lock
        count=$(QEMU_CPU=$3 counted "$file" "$qemu" "$(one_instruction_per_block "$qemu")" "${log[@]}" "$file") ||
            return
        row+=" | $count" sums+=("$((count))")
    done
    rows+="$row |"$'\n'
    echo "    together: ${sums[0]} and ${sums[1]}, and ${sums[3]} for the robust mutex"
    [ "${sums[0]}" -le "${sums[3]}" ] && [ "${sums[1]}" -le "${sums[3]}" ]
}

count_on_linux() {
    step "AArch64 Linux, LSE" linux "AArch64 Linux, LSE" aarch64-unknown-linux-gnu max
    step "AArch64 Linux, exclusive pairs" linux "AArch64 Linux, exclusive pairs" aarch64-unknown-linux-gnu cortex-a53
    step "ARMv7 Linux" linux "ARMv7 Linux" armv7-unknown-linux-gnueabihf cortex-a15
}
