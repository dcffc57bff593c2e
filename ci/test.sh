#!/usr/bin/env bash
# Proves: the library does what it says. This is the README's test command, kept from asking a terminal anything.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo test --workspace --all-features "$@" </dev/null
