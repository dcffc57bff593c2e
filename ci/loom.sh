#!/usr/bin/env bash
# Proves: core's own code keeps its promises in every interleaving of two or three actors, and with every value that a
# relaxed load may see: never two owners, nobody left asleep, the dead replaced, no torn record. With --mutate: that the
# models would notice, by breaking the code in one place at a time.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/loom # the builds of other jobs have other flags
models=(--release -p shmlock-core --test loom)                # loom is slow; optimised it is ten times less so
if [ "${1:-}" = --mutate ]; then
    . core/tests/loom/mutate.sh
else
    cargo clippy "${models[@]}" -- -D warnings
    cargo test "${models[@]}"
fi
