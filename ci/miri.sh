#!/usr/bin/env bash
# Proves: the tests of core and of its C functions have no undefined behaviour under Miri.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

command -v rustup >/dev/null || skip "Miri needs a nightly Rust from rustup; install rustup"
cargo +nightly miri --version 2>/dev/null ||
    RUST_BACKTRACE=0 timeout 300 rustup --quiet component add --toolchain nightly miri rust-src ||
    skip "no Miri: run rustup toolchain install nightly --component miri,rust-src"
export MIRIFLAGS=-Zmiri-strict-provenance
cargo +nightly miri test -p shmlock-core -p shmlock-core-ffi
