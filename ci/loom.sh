#!/usr/bin/env bash
# Proves: in every interleaving of two or three actors, and with every value that a relaxed load may
# return, core has never two owners, no waiter sleeps for ever, dead owners are recovered, no record
# is torn. With --mutate: the models detect each of many broken versions of the code.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/loom # other jobs build with other flags
models=(--release -p shmlock-core --test loom)                # loom is slow without optimisation
if [ "${1:-}" = --mutate ]; then
    . core/tests/loom/mutate.sh
else
    cargo clippy "${models[@]}" -- -D warnings
    cargo test "${models[@]}"
fi
