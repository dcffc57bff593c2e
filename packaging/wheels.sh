#!/usr/bin/env bash
# wheels.sh [ARCHITECTURE...]: makes the wheels of x86_64, aarch64 and armv7l, or of these, and the
# source distribution, in target/packages/wheels. Needs Rust's standard library for each, a CPython,
# and from PyPI maturin and ziglang, which links for an old C library.
#
# manylinux2014: glibc 2.17 and newer. musl: only where Rust's standard library for it is installed.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. ci/lib/python.sh
. cross-tests/linux.sh
architectures=("$@")
[ $# -gt 0 ] || architectures=(x86_64 aarch64 armv7l)

rust_target() {
    case $1 in
        armv7l) echo armv7-unknown-linux-gnueabihf ;;
        *) echo "$1-unknown-linux-gnu" ;;
    esac
}

mapfile -t pythons < <(all_pythons)
[ ${#pythons[@]} -gt 0 ] || skip "no CPython from 3.10 on"
tools=$(environment "${pythons[-1]}" 'maturin==1.16.0' 'ziglang==0.17.1') ||
    skip "maturin and ziglang are not installable from PyPI"
export PATH=$tools/bin:$PATH CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/packages
[[ $CARGO_TARGET_DIR = /* ]] || CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR
out=$CARGO_TARGET_DIR/wheels
# Paths of this machine do not get into a wheel.
unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
export RUSTFLAGS="--remap-path-prefix=$PWD=/usr/src/shmlock \
--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/usr/src/cargo"

for architecture in "${architectures[@]}"; do
    maturin build --quiet --release --locked --manifest-path python/Cargo.toml --zig \
        --target "$(rust_target "$architecture")" --compatibility manylinux2014 --out "$out"
done
maturin sdist --quiet --manifest-path python/Cargo.toml --out "$out"

# The source distribution builds with cargo and maturin alone.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(
    cd "$work"
    "$tools/bin/pip" wheel --quiet --no-index --no-build-isolation --no-deps "$out"/shmlock-*.tar.gz
    "$tools/bin/python" -m zipfile -e shmlock-*.whl site
    PYTHONPATH=site "$tools/bin/python" -c 'import shmlock
with shmlock.ShmLock("wheels.sh") as acquired: assert acquired'
)
ls -l "$out"
