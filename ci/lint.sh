#!/usr/bin/env bash
# Proves: rustc and clippy have no remark on any target, with all features and with the default
# ones, nor on the library by itself, without the features that tests enable. Cargo.toml selects the
# lints, clippy.toml bans stray fences. If shellcheck is installed, the same for shell scripts.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo clippy --workspace --all-targets --all-features -- -D warnings
cargo clippy --workspace --all-targets -- -D warnings
cargo clippy -p shmlock --all-targets -- -D warnings
! command -v shellcheck >/dev/null ||
    shellcheck --check-sourced {ci,packaging,bench/fleet,fleet,fleet/demo}/*.sh .ci/run
# A mutant that changes nothing any more, or does not compile, would prove nothing.
bash ci/torture_mutants.sh --check >/dev/null
