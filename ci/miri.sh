#!/usr/bin/env bash
# Proves: the tests of core and of its functions for C meet no undefined behaviour under the Miri interpreter.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

command -v rustup >/dev/null || skip "Miri comes with a nightly Rust from rustup, and there is no rustup"
cargo +nightly miri --version 2>/dev/null ||
    RUST_BACKTRACE=0 timeout 300 rustup --quiet component add --toolchain nightly miri rust-src ||
    skip "no Miri: rustup toolchain install nightly --component miri,rust-src"
MIRIFLAGS=-Zmiri-strict-provenance cargo +nightly miri test -p shmlock-core -p shmlock-core-ffi
