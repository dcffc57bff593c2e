# Sourced by count.sh: counts for programs on Linux, under user-mode emulators.
# shellcheck shell=bash disable=SC2154 # `log` comes from counted.sh
. cross-tests/linux.sh

locks=(region shmlock mutex robust)

# use_linux: builds the programs if there are emulators. Call it before `use_machines`, which may
# choose another compiler and changes the target directory.
use_linux() {
    local target flags
    for target in "${arm_linux[@]}"; do
        emulator "$target" >/dev/null ||
            { echo "skipped: no emulator for $target; install qemu-user-static" && return 1; }
    done
    use_linux_targets
    linux_dir=${CARGO_TARGET_DIR:-$PWD/target}/cost
    for target in "${arm_linux[@]}"; do
        flags=$(variable "$target" RUSTFLAGS)
        # Static relocation: addresses as in the symbol table.
        step "build for $target" env "$flags=${!flags} -C relocation-model=static" \
            cargo build --locked --quiet --release --target "$target" --target-dir "$linux_dir" \
            --manifest-path cross-tests/probes/cost/Cargo.toml
    done
}

# linux NAME TARGET CPU: adds a row to the table. Fails if `ShmLock` or `RegionLock` takes more than
# the robust mutex.
linux() {
    local qemu lock row="| $1" file count sums=()
    qemu=$(emulator "$2")
    for lock in "${locks[@]}"; do
        file=$linux_dir/$2/release/$lock
        count=$(QEMU_CPU=$3 counted "$file" \
            "$qemu" "$(one_instruction_per_block "$qemu")" "${log[@]}" "$file") || return
        row+=" | $count" sums+=("$((count))")
    done
    rows+="$row |"$'\n'
    echo "    together: ${sums[0]} and ${sums[1]}, and ${sums[3]} for the robust mutex"
    [ "${sums[0]}" -le "${sums[3]}" ] && [ "${sums[1]}" -le "${sums[3]}" ]
}

count_on_linux() {
    local row name target cpu
    for row in "AArch64 Linux, LSE|aarch64-unknown-linux-gnu|max" \
        "AArch64 Linux, exclusive pairs|aarch64-unknown-linux-gnu|cortex-a53" \
        "ARMv7 Linux|armv7-unknown-linux-gnueabihf|cortex-a15"; do
        IFS='|' read -r name target cpu <<<"$row"
        step "$name" linux "$name" "$target" "$cpu"
    done
}
