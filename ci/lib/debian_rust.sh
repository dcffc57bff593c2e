# Sourced: provides Debian's packaged Rust where rustup cannot download. It is unpacked into the
# cache, so it needs no root and changes nothing on the system.
# shellcheck shell=bash

# debian_rust PREFIX: makes cargo use the newest packaged compiler whose version starts with PREFIX
# (empty: any).
debian_rust() {
    command -v apt-get >/dev/null || { echo "not a Debian system" >&2; return 1; }
    local version
    version=$(packaged_version "$1")
    [ -n "$version" ] || { refresh_package_lists; version=$(packaged_version "$1"); }
    [ -n "$version" ] ||
        { echo "no package rustc-web with version $1*; Debian 12 has one" >&2; return 1; }
    debian_root=$cache/debian-rust-$version
    [ -d "$debian_root" ] || unpack_debian_rust "$version" || return
    export RUSTC=$debian_root/usr/bin/rustc RUSTDOC=$debian_root/usr/bin/rustdoc
    LD_LIBRARY_PATH=$(echo "$debian_root"/usr/lib/*-linux-gnu*)
    export LD_LIBRARY_PATH
    "$RUSTC" --version
}

packaged_version() {
    apt-cache madison rustc-web |
        awk -v prefix="$1" 'index($3, prefix) == 1 && !found++ { print $3 }'
}

refresh_package_lists() {
    local sudo=(sudo -n)
    [ "$(id -u)" != 0 ] || sudo=()
    "${sudo[@]}" apt-get -qq update || true
}

unpack_debian_rust() {
    local version=$1 minor llvm work
    minor=$(cut -d. -f1,2 <<<"$version")
    llvm=$(apt-cache show "libstd-rust-web-$minor=$version" |
        sed -n 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p') || return
    mkdir -p "$cache" && work=$(mktemp -d "$cache/unpack.XXXXXX") || return
    (
        cd "$work"
        apt-get -qq -o APT::Sandbox::User=root download "$llvm" \
            {rustc-web,"libstd-rust-web-$minor"}="$version" \
            {libstd-rust-web-dev,rust-web-src,rust-web-clippy}="$version" &&
            for package in *.deb; do dpkg -x "$package" . && rm "$package" || exit; done
    ) && chmod 755 "$work" && mv "$work" "$debian_root"
}
