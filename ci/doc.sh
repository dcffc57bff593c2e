#!/usr/bin/env bash
# Proves: the documentation builds without a warning and its links lead somewhere, for users and for maintainers.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

export RUSTDOCFLAGS="-D warnings"
cargo doc --workspace --all-features --no-deps --document-private-items
# Last, so that target/doc is what users will read. Here a link from a public item to a private one is an error.
cargo doc --workspace --all-features --no-deps
