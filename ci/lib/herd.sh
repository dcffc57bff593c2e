# Sourced after ci/lib/common.sh and cross-tests/linux.sh: provides herd7, the simulator of memory
# models.
# shellcheck shell=bash

# use_herd: sets `herd`, a command. If none is installed, it unpacks Debian's, which stable releases
# lack, into the cache, with the C library that it is linked with.
use_herd() {
    herd=(herd7)
    ! command -v herd7 >/dev/null || return 0
    local root=$cache/herd loader
    [ -d "$root" ] || unpack_herd "$root" || return
    loader=$(echo "$root"/lib/ld-linux*.so.*)
    herd=("$loader" --library-path "$root/lib" "$root/herd7" -set-libdir "$root/models")
    herd_version >/dev/null
}

# unpack_herd DIRECTORY
unpack_herd() {
    local work package architecture
    architecture=$(dpkg --print-architecture) || return
    mkdir -p "$cache" && work=$(mktemp -d "$cache/unpack.XXXXXX") || return
    for package in herdtools7 libc6 libgmp10; do
        foreign_package "$architecture" "$work" "$package" sid || return
    done
    mkdir "$work/herd" && mv "$work/usr/share/herdtools7/herd" "$work/herd/models" &&
        mv "$work/usr/bin/herd7" "$work/herd" && mv "$work"/usr/lib/*-linux-gnu* "$work/herd/lib" &&
        mv "$work/herd" "$1" && rm -r "$work"
}

# herd_version: prints it.
herd_version() { "${herd[@]}" -version | sed -n 's/^\([0-9.]*\),.*/\1/p' | grep .; }
