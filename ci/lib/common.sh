# Sourced by every job: changes to the repository root, names the cache directory, defines `die` and
# `skip`.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck disable=SC2034 # for the scripts that source this file
cache=${XDG_CACHE_HOME:-$HOME/.cache}/shmlock

die() {
    echo "error: $*" >&2
    exit 1
}

# 77, as in automake, is neither success nor failure. all.sh prints "skipped"; a hosted runner fails
# the job, because there nothing may be missing.
skip() {
    echo "skipped: $*" >&2
    exit 77
}

command -v cargo >/dev/null ||
    die "cargo not found: install Rust, at least the rust-version of Cargo.toml, and add it to PATH"
