#!/usr/bin/env bash
# build.sh [ARCHITECTURE...]: makes the Debian packages of amd64, arm64 and armhf, or of these
# architectures, in target/packages/deb. It needs an amd64 machine with Debian's or Ubuntu's tools
# for packages; ARM needs a cross compiler as well.
#
# Cargo builds, and debhelper packs what was built: debian/ is the one of a Debian package, except
# that the compiler need not be a Debian package. The packages of the library are made if ffi/shell
# exists.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
needs dh debhelper dpkg-buildpackage dpkg-dev gcc gcc
architectures=("$@")
[ $# -gt 0 ] || architectures=(amd64 arm64 armhf)

# The oldest C library that a package may ask for: Debian 12 and Ubuntu 22.04 have a newer one.
minimum_glibc=$(sed -n 's/^libc 6 libc6 (>= \(.*\))$/\1/p' packaging/debian/shlibs.local)

rust_target() {
    case $1 in
        amd64) echo x86_64-unknown-linux-gnu ;;
        arm64) echo aarch64-unknown-linux-gnu ;;
        armhf) echo armv7-unknown-linux-gnueabihf ;;
        *) die "no package is made for $1; amd64, arm64 and armhf are known" ;;
    esac
}

[[ "${architectures[*]}" = amd64 ]] || use_linux_targets
# Dynamic programs, unlike those of the tests. Paths of this machine do not get into a package.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
remapped="--remap-path-prefix=$PWD=/usr/src/shmlock"
remapped+=" --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/usr/src/cargo"
targets=()
for architecture in "${architectures[@]}"; do
    target=$(rust_target "$architecture")
    export "$(variable "$target" RUSTFLAGS)=$remapped"
    targets+=(--target "$target")
done
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/packages CARGO_INCREMENTAL=0
[[ $CARGO_TARGET_DIR = /* ]] || CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR

version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
released=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ "${version%-*}" = "$released" ] ||
    die "packaging/debian/changelog has version $version, Cargo.toml has $released"

# This machine's program writes the manual pages and completions for all architectures.
cargo build --quiet --locked --release --package shmlock-cli \
    --target "$(rust_target amd64)" "${targets[@]}"
program() { echo "$CARGO_TARGET_DIR/$(rust_target "$1")/release/shmlock"; }

profiles='' crates=(--package shmlock-cli)
if [ -d ffi/shell ]; then
    crates+=(--package shmlock-ffi)
    # As ffi/shell/install.sh does, but for all architectures at the same time.
    cargo build --quiet --locked --profile shared --package shmlock-ffi "${targets[@]}"
else
    profiles=pkg.shmlock.nolibrary
    echo "ffi/shell does not exist: libshmlock1 and libshmlock-dev are left out"
fi

# third_party TARGET: prints the crates in the binaries, and each licence text once.
third_party() {
    local name version licence folder file sum
    local -A names=() texts=()
    while IFS='|' read -r name licence; do
        read -r name version _ <<<"$name"
        folder=$(find "${CARGO_HOME:-$HOME/.cargo}"/registry/src -mindepth 2 -maxdepth 2 \
            -name "$name-${version#v}" -print -quit)
        [ -d "$folder" ] || die "cargo has no source of $name $version"
        for file in "$folder"/{LICENSE-MIT,LICENSE,LICENSE.txt,LICENSE.md,COPYING}; do
            [ -e "$file" ] && break
        done
        [ -e "$file" ] || die "$name $version has no licence text in $folder"
        sum=$(md5sum <"$file")
        names[$sum]+="$name ${version#v} ($licence)"$'\n'
        texts[$sum]=$file
    done < <(cargo tree --locked --edges normal,no-proc-macro --target "$1" --prefix none \
        --no-dedupe --format '{p}|{l}' "${crates[@]}" | grep -v -e "($PWD" -e '^$' | sort -u)
    [ ${#names[@]} -gt 0 ] || die "cargo names no crate for $1"
    echo "The binaries contain the standard library of Rust (MIT OR Apache-2.0), and these crates."
    for sum in $(printf '%s\n' "${!names[@]}" | tr ' ' '_' | sort); do
        sum=${sum//_/ }
        printf '\n--- %s\n\n' "${names[$sum]}"
        cat "${texts[$sum]}"
    done
}

# install_built ARCHITECTURE DIRECTORY: lays out the built files as on the installed system.
install_built() {
    local program share=$2/usr/share
    program=$(program amd64)
    mkdir -p "$share"/{man/man1,bash-completion/completions,fish/vendor_completions.d} \
        "$share/zsh/vendor-completions"
    install -D "$(program "$1")" "$2/usr/bin/shmlock"
    "$program" man --to "$share/man/man1"
    "$program" completions bash >"$share/bash-completion/completions/shmlock"
    "$program" completions fish >"$share/fish/vendor_completions.d/shmlock.fish"
    "$program" completions zsh >"$share/zsh/vendor-completions/_shmlock"
    [ -n "$profiles" ] || bash ffi/shell/install.sh "$(rust_target "$1")" "$2" \
        "/usr/lib/$(dpkg-architecture -f -a "$1" -q DEB_HOST_MULTIARCH 2>/dev/null)"
}

# oldest_glibc FILE: fails if the file needs a newer C library than the packages ask for.
oldest_glibc() {
    local needed
    needed=$(readelf -V "$1" | grep -o 'GLIBC_[0-9.]*' | tr -d 'GLIBC_' | sort -V | tail -n1)
    [ "$(printf '%s\n' "$needed" "$minimum_glibc" | sort -V | tail -n1)" = "$minimum_glibc" ] ||
        die "$1 needs glibc $needed, packaging/debian/shlibs.local promises $minimum_glibc"
}

# pack ARCHITECTURE: runs debhelper in a tree that has the built files only.
pack() {
    local work=$CARGO_TARGET_DIR/$1 file
    rm -rf "$work"
    mkdir -p "$work/shmlock/built"
    cp -a packaging/debian "$work/shmlock/"
    cp -a docs LICENSE-* CHANGELOG.md "$work/shmlock/"
    install_built "$1" "$work/shmlock/built"
    if [ -z "$profiles" ] && [ ! -d "$work/shmlock/built/usr/share/man/man3" ]; then
        echo "ffi/shell/install.sh installs no manual pages: libshmlock-dev has none"
        sed -i '/man3/d' "$work/shmlock/debian/libshmlock-dev.install"
    fi
    for file in "$work"/shmlock/built/usr/{bin/*,lib/*/*.so.*}; do
        [ ! -f "$file" ] || oldest_glibc "$file"
    done
    third_party "$(rust_target "$1")" >"$work/shmlock/THIRD-PARTY"
    (
        cd "$work/shmlock"
        [ "$1" = "$(dpkg --print-architecture)" ] || profiles+=' cross nocheck'
        DEB_BUILD_PROFILES=$profiles dpkg-buildpackage --host-arch "$1" --build=binary \
            --no-sign --no-check-builddeps --no-pre-clean >"$work/log" 2>&1
    ) || { cat "$work/log" && die "the packages of $1 could not be made"; }
    for file in "$work"/*.{deb,ddeb}; do
        # The name of a debug package on Ubuntu; it is an ordinary package.
        [ ! -e "$file" ] || mv "$file" "$CARGO_TARGET_DIR/deb/$(basename "${file%.*}").deb"
    done
}

rm -rf "$CARGO_TARGET_DIR/deb"
mkdir -p "$CARGO_TARGET_DIR/deb"
for architecture in "${architectures[@]}"; do pack "$architecture"; done
(cd "$CARGO_TARGET_DIR/deb" && wc -c ./*.deb)
