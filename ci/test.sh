#!/usr/bin/env bash
# Proves: the library does what it says. The README's test command, then core again with its optional features.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

exec </dev/null # no test may wait for a terminal
cargo test --workspace
cargo test -p shmlock-core --all-features
