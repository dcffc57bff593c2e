#!/usr/bin/env bash
# Proves: core and its archive for C build without a warning on libcore alone, for every supported
# class of bare-metal core.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/bare_metal.sh

targets=(
    thumbv6m-none-eabi      # Cortex-M0: no compare-and-swap
    thumbv7em-none-eabihf   # Cortex-M4, M7
    thumbv8m.main-none-eabi # Cortex-M33
    armv7a-none-eabi        # Cortex-A7, A15
    aarch64-unknown-none    # Cortex-A53 and later
)
use_bare_targets "${targets[@]}"

for target in "${targets[@]}"; do
    # Where portable-atomic emulates compare-and-swap, choose how. Elsewhere it is not a dependency.
    emulation=
    [[ $target != thumbv6m-* ]] || emulation=portable-atomic/critical-section
    for features in "" embedded-hal,embedded-hal-async,defmt; do
        SECONDS=0
        arguments=(--quiet -p shmlock-core --target "$target" --features "$features,$emulation")
        cargo build "${arguments[@]}"
        "${clippy[@]}" "${arguments[@]}" -- -D warnings
        printf '%-24s %-37s ok %3d s\n' "$target" "${features:-default features}" "$SECONDS"
    done
    SECONDS=0
    cargo build --quiet --profile c -p shmlock-core-ffi --target "$target" --features "$emulation"
    printf '%-24s %-37s ok %3d s\n' "$target" "archive for C" "$SECONDS"
done
