# Sourced after ci/lib/common.sh and cross-tests/lib.sh: builds the probes for every kind of core
# and disassembles them.
# shellcheck shell=bash

bare_targets aarch64-unknown-none armv7a-none-eabi thumbv7em-none-eabi thumbv8m.main-none-eabi
CARGO_TARGET_DIR+=/probes

# The checker's name of the architecture, the target, and a processor feature: atomic instructions,
# or helper functions.
# shellcheck disable=SC2034 # for the scripts that source this file
kinds=(
    "aarch64 aarch64-unknown-none"
    "aarch64 aarch64-unknown-none +lse"
    "aarch64 aarch64-unknown-none +outline-atomics" # the compiler warns: meant for other targets
    "armv7a armv7a-none-eabi"
    "mprofile thumbv7em-none-eabi"
    "mprofile thumbv8m.main-none-eabi"
)
checker=$CARGO_TARGET_DIR/debug/shmlock-probe-check
checker_package=(--locked --quiet --manifest-path cross-tests/probes/Cargo.toml
    -p shmlock-probe-check)

# use_checker: tests and builds the checker.
use_checker() {
    step "the checker, on listings with and without barriers" cargo test "${checker_package[@]}"
    cargo build "${checker_package[@]}"
}

# checked SOURCES ARCHITECTURE TARGET FEATURE [FILE...]: builds the probes from these sources and
# checks their machine code; with litmus files, it compares it with these instead.
checked() {
    local flags="-C linker-flavor=ld -C link-arg=--no-gc-sections -C link-arg=--entry=0"
    flags+=${4:+ -C target-feature=$4}
    local name target_dir
    target_dir=$CARGO_TARGET_DIR/$(basename "$1")${4:-}
    name=CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$3")_RUSTFLAGS
    env "$name=$flags" cargo build --locked --quiet --release \
        --manifest-path "$1/cross-tests/probes/Cargo.toml" --package shmlock-probes \
        --features "$([[ ${4:-} != *outline* ]] || echo outline)" \
        --target "$3" --target-dir "$target_dir" || return 2
    "$(gnu_prefix "$3")objdump" -d --no-show-raw-insn "$target_dir/$3/release/shmlock-probes" \
        >"$target_dir/listing"
    "$checker" "$2" "${@:5}" <"$target_dir/listing"
}
