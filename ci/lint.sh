#!/usr/bin/env bash
# Proves: rustc and clippy have no remark on any target, with every feature and with the default ones; and on the library
# by itself, which the tests would give features. Cargo.toml picks the lints, clippy.toml bans stray fences. Shell scripts are read too where shellcheck is installed.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo clippy --workspace --all-targets --all-features -- -D warnings
cargo clippy --workspace --all-targets -- -D warnings
cargo clippy -p shmlock --all-targets -- -D warnings
! command -v shellcheck >/dev/null || shellcheck --check-sourced ci/*.sh .ci/run
