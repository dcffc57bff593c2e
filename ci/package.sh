#!/usr/bin/env bash
# Proves: both crates can be published. Each package is complete and builds by itself, shmlock with
# the packed core; Cargo.lock is current.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo fetch --quiet --locked

# A developer may run it with uncommitted changes; a build machine has none.
dirty=()
[ -n "${CI:-}" ] || [ -z "$(git status --porcelain)" ] || dirty=(--allow-dirty)

# Cargo takes the packed core for an unchanging crate of a registry, and would build shmlock with
# the unpacked or compiled core of a previous run.
packed=target/packed
rm -rf "$packed" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/shmlock-core-[0-9]*

# One call for both: only then does cargo 1.90 or newer find the unpublished core. Offline, because
# everything was fetched above.
cargo package --offline --target-dir "$packed" "${dirty[@]}" -p shmlock-core -p shmlock
