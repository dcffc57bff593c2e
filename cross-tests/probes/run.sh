#!/usr/bin/env bash
# Proves: the barriers are in the machine code, where they must be and as strong as they must be, on every kind of core.
# With --mutate: that the above would notice, by removing each fence in turn from a copy of core.
# shellcheck disable=SC2317 # functions are called by `step`
set -euo pipefail
. "$(dirname "$0")/../../ci/lib/common.sh"
. cross-tests/lib.sh

bare_targets aarch64-unknown-none armv7a-none-eabi thumbv7em-none-eabi thumbv8m.main-none-eabi
CARGO_TARGET_DIR+=/probes

# What the checker calls it, target, and what else the core has: atomics as instructions, or by way of helpers.
kinds=(
    "aarch64 aarch64-unknown-none"
    "aarch64 aarch64-unknown-none +lse"
    "aarch64 aarch64-unknown-none +outline-atomics" # the compiler remarks that this is for the targets that have it
    "armv7a armv7a-none-eabi"
    "mprofile thumbv7em-none-eabi"
    "mprofile thumbv8m.main-none-eabi"
)
checker=$CARGO_TARGET_DIR/debug/shmlock-probe-check

# look SOURCES ARCHITECTURE TARGET [FEATURE]: builds the probes from these sources, reads their machine code.
look() {
    local flags="-C linker-flavor=ld -C link-arg=--no-gc-sections -C link-arg=--entry=0${4:+ -C target-feature=$4}"
    local name target_dir
    target_dir=$CARGO_TARGET_DIR/$(basename "$1")${4:-}
    name=CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$3")_RUSTFLAGS
    env "$name=$flags" cargo build --locked --quiet --release --manifest-path "$1/cross-tests/probes/Cargo.toml" \
        --package shmlock-probes --features "$([[ ${4:-} != *outline* ]] || echo outline)" \
        --target "$3" --target-dir "$target_dir" || return 2
    "$(gnu_prefix "$3")objdump" -d --no-show-raw-insn "$target_dir/$3/release/shmlock-probes" >"$target_dir/listing"
    "$checker" "$2" <"$target_dir/listing"
}

step "the checker, on listings with and without barriers" \
    cargo test --locked --quiet --manifest-path cross-tests/probes/Cargo.toml -p shmlock-probe-check
cargo build --locked --quiet --manifest-path cross-tests/probes/Cargo.toml -p shmlock-probe-check
if [ "${1:-}" = --mutate ]; then
    . cross-tests/probes/mutate.sh
else
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC2086 # words
        step "probes, ${kind#* }" look "$PWD" $kind
    done
fi
end
