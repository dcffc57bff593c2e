#!/usr/bin/env bash
# Proves: everything compiles with the oldest Rust that Cargo.toml supports.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/debian_rust.sh

oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$oldest" ] || die "Cargo.toml states no rust-version"

cargo=(cargo)
if command -v rustup >/dev/null && {
    rustup run "$oldest" cargo --version 2>/dev/null ||
        RUST_BACKTRACE=0 timeout 300 rustup --quiet toolchain install "$oldest" \
            --profile minimal --no-self-update
}; then
    cargo=(rustup run "$oldest" cargo)
else
    echo "rustup cannot install Rust $oldest; using Debian's"
    debian_rust "$oldest." || skip "no Rust $oldest, neither from rustup nor from Debian"
fi
"${cargo[@]}" check --workspace --all-targets --all-features
# Without a Python, whose library an extension module does not link.
PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 \
    "${cargo[@]}" check --manifest-path python/Cargo.toml
