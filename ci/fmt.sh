#!/usr/bin/env bash
# Proves: every Rust file is laid out as rustfmt.toml says.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo fmt --all --check
