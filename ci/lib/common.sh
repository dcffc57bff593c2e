# Sourced by every job: the repository root as working directory, a cache outside the tree, two ways to end early.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck disable=SC2034 # not every job needs it
cache=${XDG_CACHE_HOME:-$HOME/.cache}/shmlock

die() {
    echo "error: $*" >&2
    exit 1
}

# 77, as in automake, is neither passed nor failed. all.sh says so in its table; a hosted runner shows the job red,
# because there nothing may be missing.
skip() {
    echo "skipped: $*" >&2
    exit 77
}

command -v cargo >/dev/null ||
    die "cargo not found: install a stable Rust, at least the rust-version in Cargo.toml, and have it in PATH"
