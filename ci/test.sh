#!/usr/bin/env bash
# Proves: the libraries do what they say. The README's test command, then both again with their optional features.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

exec </dev/null # no test may wait for a terminal
cargo test --workspace
cargo test -p shmlock-core -p shmlock --all-features
