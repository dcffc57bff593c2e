#!/usr/bin/env bash
# Proves: the documentation builds without a warning and without a broken link, for users and for
# maintainers; the pages of docs/ agree with the files that they show (ci/pages.sh).
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

export RUSTDOCFLAGS="-D warnings"
cargo doc --workspace --all-features --no-deps --document-private-items
# Last, so that target/doc is the documentation for users. Here a link from a public item to a
# private one is an error.
cargo doc --workspace --all-features --no-deps
bash ci/pages.sh
