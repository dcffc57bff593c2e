#!/usr/bin/env bash
# Proves: the machine code has every necessary barrier, and each is strong enough, on every kind of
# core. With --mutate: the check detects the removal of each fence from a copy of core.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../../ci/lib/common.sh"
. cross-tests/lib.sh

bare_targets aarch64-unknown-none armv7a-none-eabi thumbv7em-none-eabi thumbv8m.main-none-eabi
CARGO_TARGET_DIR+=/probes

# The checker's name of the architecture, the target, and a processor feature: atomic instructions,
# or helper functions.
kinds=(
    "aarch64 aarch64-unknown-none"
    "aarch64 aarch64-unknown-none +lse"
    "aarch64 aarch64-unknown-none +outline-atomics" # the compiler warns: meant for other targets
    "armv7a armv7a-none-eabi"
    "mprofile thumbv7em-none-eabi"
    "mprofile thumbv8m.main-none-eabi"
)
checker=$CARGO_TARGET_DIR/debug/shmlock-probe-check

# check SOURCES ARCHITECTURE TARGET [FEATURE]: builds the probes from these sources and checks their
# machine code.
check() {
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
    "$checker" "$2" <"$target_dir/listing"
}

checker_package=(--locked --quiet --manifest-path cross-tests/probes/Cargo.toml
    -p shmlock-probe-check)
step "the checker, on listings with and without barriers" cargo test "${checker_package[@]}"
cargo build "${checker_package[@]}"
if [ "${1:-}" = --mutate ]; then
    . cross-tests/probes/mutate.sh
else
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC2086 # words
        step "probes, ${kind#* }" check "$PWD" $kind
    done
fi
end
