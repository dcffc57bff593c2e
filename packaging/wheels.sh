#!/usr/bin/env bash
# wheels.sh [ARCHITECTURE...]: makes the wheels of x86_64, aarch64 and armv7l, or of these
# architectures, and the source distribution, in target/packages/wheels. It needs a CPython from
# 3.10 on, and from PyPI maturin and ziglang, which links for an old C library.
# Proves: each wheel needs nothing but what its manylinux has (glibc 2.17), and calls nothing but
# what Python 3.10 has; the source distribution builds outside the repository.
#
# One wheel is for every CPython with an interpreter lock. A free-threaded one needs its own, which
# is made for this machine if there is such a Python here.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. ci/lib/python.sh
. cross-tests/linux.sh
architectures=("$@")
[ $# -gt 0 ] || architectures=(x86_64 aarch64 armv7l)

rust_target() {
    case $1 in
        x86_64 | aarch64) echo "$1-unknown-linux-gnu" ;;
        armv7l) echo armv7-unknown-linux-gnueabihf ;;
        *) die "no wheel is made for $1; x86_64, aarch64 and armv7l are known" ;;
    esac
}

needs_python
builder=${pythons[-1]}
tools=$(environment "$builder" 'maturin==1.16.0' 'ziglang==0.17.1' 'auditwheel==6.8.2' \
    'abi3audit==0.0.26' 'wheel==0.45.1') || skip "maturin and ziglang are not installable from PyPI"
targets=()
for architecture in "${architectures[@]}"; do
    target=$(rust_target "$architecture")
    [ "$architecture" = "$(uname -m)" ] || targets+=("$target")
done
[ ${#targets[@]} = 0 ] || rust_libraries "${targets[@]}"

export PATH=$tools/bin:$PATH CARGO_INCREMENTAL=0
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/packages
[[ $CARGO_TARGET_DIR = /* ]] || CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR
out=$CARGO_TARGET_DIR/wheels log=$CARGO_TARGET_DIR/wheels.log
rm -rf "$out"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS

# logged COMMAND...: shows what it prints only if it fails.
logged() { "$@" >"$log" 2>&1 || { cat "$log" && die "failed, see above: $*"; }; }

# unwinder TARGET: makes an empty library that stands for libgcc_s.so.1, and prints its path. Zig
# would link an unwinder of its own. Pythons before 3.14 end a daemon thread by pthread_exit(3), for
# which glibc unwinds the stack by libgcc_s: its frames must be read by the same library.
unwinder() {
    local symbol place=$CARGO_TARGET_DIR/unwinder/$1
    mkdir -p "$place"
    for symbol in _Unwind_{Backtrace,DeleteException,FindEnclosingFunction,ForcedUnwind,GetCFA} \
        _Unwind_{GetDataRelBase,GetGR,GetIP,GetIPInfo,GetLanguageSpecificData,GetRegionStart} \
        _Unwind_{GetTextRelBase,RaiseException,Resume,Resume_or_Rethrow,SetGR,SetIP} \
        _Unwind_{Complete,VRS_Get,VRS_Set} __gnu_unwind_frame __aeabi_unwind_cpp_pr{0,1,2}; do
        echo "void $symbol(void) {}"
    done >"$place/unwinder.c"
    # Its names for targets have no vendor, and armv7 is a kind of arm.
    local zig=${1/-unknown/}
    "$tools/bin/python" -m ziglang cc -target "${zig/armv7/arm}.2.17" -shared -nostdlib -w \
        -Wl,-soname,libgcc_s.so.1 -o "$place/libgcc_s.so.1" "$place/unwinder.c"
    echo "$place/libgcc_s.so.1"
}

# make_wheel ARCHITECTURE PYTHON: maturin refuses symbols that the manylinux lacks. Paths of this
# machine do not get into a wheel: rustc writes others, and maturin's list of crates is changed.
make_wheel() {
    local target libgcc cargo=${CARGO_HOME:-$HOME/.cargo}
    target=$(rust_target "$1")
    libgcc=$(unwinder "$target")
    rm -rf "$work/made" "$work/unpacked"
    RUSTFLAGS="--remap-path-prefix=$PWD=/usr/src/shmlock --remap-path-prefix=$cargo=/usr/src/cargo \
        -C link-arg=$libgcc" \
        logged maturin build --release --locked --manifest-path python/Cargo.toml --zig \
        --interpreter "$2" --target "$target" --out "$work/made" \
        --compatibility manylinux_2_17
    logged "$tools/bin/wheel" unpack --dest "$work/unpacked" "$work"/made/*.whl
    sed -i "s|file://$PWD/|file:///usr/src/shmlock/|g" "$work"/unpacked/*/*.dist-info/sboms/*
    logged "$tools/bin/wheel" pack --dest-dir "$out" "$work"/unpacked/*
}

for architecture in "${architectures[@]}"; do make_wheel "$architecture" "$builder"; done
mapfile -t free_threaded < <(free_threaded_pythons)
for python in "${free_threaded[@]}"; do make_wheel "$(uname -m)" "$python"; done
[ ${#free_threaded[@]} -gt 0 ] || echo "no free-threaded Python is here: no wheel is made for one"

# The tags are checked by other tools than maturin, which set them.
for file in "$out"/*.whl; do
    logged auditwheel show "$file"
    promised=${file##*manylinux_2_} promised=${promised%%_*}
    found=$(grep -o '"manylinux_2_[0-9]*' "$log" | head -n1) found=${found##*_}
    [ "${found:-99}" -le "$promised" ] || { cat "$log" && die "the tag of $file is wrong"; }
    "$tools/bin/python" -c 'import sys, zipfile
wheel, *paths = sys.argv[1:]
files = zipfile.ZipFile(wheel)
for name in files.namelist():
    for path in paths:
        if path.encode() in files.read(name):
            sys.exit(f"{wheel}: {name} has the path {path} of this machine")' \
        "$file" "$PWD" "${CARGO_HOME:-$HOME/.cargo}"
done
logged abi3audit --strict --assume-minimum-abi3 3.10 "$out"/*-abi3-*.whl

logged maturin sdist --manifest-path python/Cargo.toml --out "$out"
# With cargo and maturin alone. The crates are here: cargo has built with them above.
mkdir "$work/outside"
(
    cd "$work/outside"
    export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/sdist CARGO_NET_OFFLINE=true
    logged "$tools/bin/pip" wheel --no-index --no-build-isolation --no-deps --no-cache-dir \
        "$out"/shmlock-*.tar.gz
    "$tools/bin/pip" install --quiet --no-index --no-deps --target site ./*.whl
    PYTHONPATH=site "$tools/bin/python" -c 'import shmlock
with shmlock.ShmLock("wheels.sh").lock(timeout=9) as acquired: assert acquired'
)
(cd "$out" && wc -c -- *)
