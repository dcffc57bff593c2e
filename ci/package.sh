#!/usr/bin/env bash
# Proves: both crates can be published. Each archive is complete and builds by itself, shmlock against the packed core;
# Cargo.lock is current.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo fetch --quiet --locked

# A developer may try it in the middle of a change; a build machine has no changes of its own.
dirty=()
[ -n "${CI:-}" ] || [ -z "$(git status --porcelain)" ] || dirty=(--allow-dirty)

# To cargo the packed core is a crate of a registry, which never changes: it would build shmlock against the core that was
# packed here a previous time, unpacked or compiled.
packed=target/packed
rm -rf "$packed" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/shmlock-core-[0-9]*

# One call for both: only then does cargo 1.90 or newer find the core that no registry has yet. Nothing has to be asked
# for again: what was fetched above is all there is.
cargo package --offline --target-dir "$packed" "${dirty[@]}" -p shmlock-core -p shmlock
