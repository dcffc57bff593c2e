# Sourced: provides compilers for targets without an operating system.
# shellcheck shell=bash
. ci/lib/debian_rust.sh

# shellcheck disable=SC2034 # for cross-tests/lint.sh
clippy=(cargo clippy)

# use_bare_targets TARGET...: configures cargo for these targets, with rustup's libcore or one built
# here.
use_bare_targets() {
    if command -v rustup >/dev/null &&
        RUST_BACKTRACE=0 timeout 300 rustup --quiet target add "$@"; then
        cargo --version
        return
    fi
    echo "rustup cannot add these targets; using Debian's compiler and building its libcore"
    debian_rust "" || die "neither rustup nor apt-get provides a compiler for $*"
    # shellcheck disable=SC2034 # as above
    clippy=("$debian_root/usr/bin/cargo-clippy" clippy)
    local missing=() target
    for target in "$@"; do
        [ -d "$debian_root/usr/lib/rustlib/$target" ] || missing+=("$target")
    done
    [ ${#missing[@]} = 0 ] || build_libcore "${missing[@]}"
}

# build_libcore TARGET...: builds it once, separately, by the unstable -Z build-std; the crates need
# no unstable option. The result lies in the unpacked compiler, so a newer compiler builds its own.
build_libcore() {
    local work target
    work=$(mktemp -d "$cache/libcore.XXXXXX")
    mkdir "$work/src"
    echo '#![no_std]' >"$work/src/lib.rs"
    printf '[package]\nname = "nothing"\nedition = "2024"\n[workspace]\n' >"$work/Cargo.toml"
    (
        cd "$work" || exit
        RUSTC_BOOTSTRAP=1 RUSTFLAGS='' cargo build --quiet --release --target-dir target \
            "${@/#/--target=}" -Z build-std=core -Z build-std-features=compiler-builtins-mem
    )
    for target in "$@"; do
        mkdir "$work/$target"
        mv "$work/target/$target/release/deps" "$work/$target/lib"
        rm -f "$work/$target"/lib/{*.d,libnothing*}
        mv "$work/$target" "$debian_root/usr/lib/rustlib/"
    done
    rm -r "$work"
}
