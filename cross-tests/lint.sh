#!/usr/bin/env bash
# Proves: rustfmt, clippy and shellcheck have no remark on the crates outside the workspace, nor on
# the scripts here.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/bare/machine.sh

formatted() {
    local manifest
    for manifest in cross-tests/{bare,one_memory/firmware,probes,probes/cost,size}/Cargo.toml; do
        cargo fmt --all --check --manifest-path "$manifest" || return
    done
}

# clippy MANIFEST-DIRECTORY ARGUMENT...
clippy() {
    "${clippy[@]}" --locked --quiet --manifest-path "cross-tests/$1/Cargo.toml" "${@:2}" -- \
        -D warnings
}

! cargo fmt --version || step "rustfmt" formatted
! command -v shellcheck || step "shellcheck" shellcheck cross-tests/*.sh cross-tests/*/*.sh
use_machines
step "clippy, checker" clippy probes -p shmlock-probe-check --all-targets
step "clippy, cost" clippy probes/cost --all-targets
step "clippy, probes" clippy probes -p shmlock-probes --target aarch64-unknown-none
step "clippy, size" clippy size --target aarch64-unknown-none
step "clippy, size without compare-and-swap" clippy size --target thumbv6m-none-eabi
step "clippy, 4 x Cortex-A57" clippy bare --target aarch64-unknown-none --features virt64
step "clippy, 4 x Cortex-A15" clippy bare --target armv7a-none-eabi --features virt32
step "clippy, 2 x Cortex-M33" clippy bare --target thumbv8m.main-none-eabi --features an521
step "clippy, Cortex-M3" clippy bare --target thumbv7m-none-eabi --features an385
step "clippy, one memory, 2 x Cortex-M33" \
    clippy one_memory/firmware --target thumbv8m.main-none-eabi --features an521
step "clippy, one memory, Cortex-M3" \
    clippy one_memory/firmware --target thumbv7m-none-eabi --features an385
step "clippy, Cortex-M0" clippy bare --target thumbv6m-none-eabi --features microbit
end
