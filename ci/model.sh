#!/usr/bin/env bash
# Proves: no order of the steps of three or four processes, with deaths and stops among them, breaks
# a promise of PROTOCOL.md, and the omission of any step breaks one. Nor does any order of messages,
# clocks and faults of two or three machines break one of fleet/src/model/scope.rs. The same
# searches as in the tests with larger bounds: some minutes and 4 GiB. `cargo run --release -p
# shmlock-model trace` prints a trace of each flaw.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ "$available" -ge 5000 ] || skip "the search needs 4 GiB of memory, but $available MiB are free"

run=(cargo run --quiet --release -p shmlock-model)
"${run[@]}"
"${run[@]}" large
cargo test --release -p shmlock-fleet --lib model::large -- --ignored --nocapture --test-threads 1
