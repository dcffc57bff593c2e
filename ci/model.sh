#!/usr/bin/env bash
# Proves: no order of the steps of three or four processes, no death and no stop among them breaks a promise of
# PROTOCOL.md, and each step that is left out breaks one. The same search as in the tests, with larger bounds: some
# minutes and 4 GiB. `cargo run --release -p shmlock-model trace` shows how each flaw comes out.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ "$available" -ge 5000 ] || skip "the search needs 4 GiB of memory, and $available MiB are free"

run=(cargo run --quiet --release -p shmlock-model)
"${run[@]}"
"${run[@]}" large
