#!/usr/bin/env bash
# Proves: core, library, fleet and program can be published. Each package is complete and builds by
# itself with the packed others; Cargo.lock is current.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo fetch --quiet --locked

# A developer may run it with uncommitted changes; a build machine has none.
dirty=()
[ -n "${CI:-}" ] || [ -z "$(git status --porcelain)" ] || dirty=(--allow-dirty)

# Cargo takes a packed crate for an unchanging crate of a registry, and would build with the
# unpacked or compiled version of a previous run.
packed=target/packed
rm -rf "$packed" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/shmlock-{,core-,fleet-}[0-9]*

# One call for all: only then does cargo 1.90 or newer find unpublished crates. Offline, because
# everything was fetched above.
cargo package --offline --target-dir "$packed" "${dirty[@]}" \
    -p shmlock-core -p shmlock -p shmlock-fleet -p shmlock-cli
