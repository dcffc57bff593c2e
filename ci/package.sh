#!/usr/bin/env bash
# Proves: core, library and program can be published. Each archive is complete and builds by itself against the packed
# ones; Cargo.lock is current.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo fetch --quiet --locked

# A developer may try it in the middle of a change; a build machine has no changes of its own.
dirty=()
[ -n "${CI:-}" ] || [ -z "$(git status --porcelain)" ] || dirty=(--allow-dirty)

# To cargo a packed crate is one of a registry, which never changes: it would build against what was packed here a
# previous time, unpacked or compiled.
packed=target/packed
rm -rf "$packed" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/shmlock-{,core-}[0-9]*

# One call for all: only then does cargo 1.90 or newer find what no registry has yet. Nothing has to be asked
# for again: what was fetched above is all there is.
cargo package --offline --target-dir "$packed" "${dirty[@]}" -p shmlock-core -p shmlock -p shmlock-cli
