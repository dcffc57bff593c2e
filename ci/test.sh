#!/usr/bin/env bash
# Proves: the libraries behave as documented. Runs the README's test command, then both crates with
# their optional features.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

exec </dev/null # no test may read from a terminal
cargo test --workspace
cargo test -p shmlock-core -p shmlock --all-features
