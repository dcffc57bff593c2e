#!/usr/bin/env bash
# Proves: every Rust file of the workspace is formatted by rustfmt.toml.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo fmt --all --check
