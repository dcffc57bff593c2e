# Sourced after ci/lib/common.sh: provides compilers, emulators and kernels for ARM Linux, and
# Debian's packages of other architectures.
# shellcheck shell=bash
. cross-tests/lib.sh
. ci/lib/debian_rust.sh

arm_linux=(aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf)

# Arguments of `cargo test` for everything that runs on ARM, with all optional features.
# They are the same in each script, so that it is built once. The rest would show nothing about ARM:
# the model search does not depend on the processor, the comparison and the benches would measure an
# emulator, the command line's tests need terminals and flock(1), and those of the fleet need etcd.
# shellcheck disable=SC2034,SC2054 # for the scripts that source this file; commas of cargo
arm_suite=(--workspace
    --exclude shmlock-cli --exclude shmlock-model
    --exclude shmlock-comparison --exclude shmlock-core-benches --exclude shmlock-costs
    --exclude shmlock-opening --exclude shmlock-fleet --exclude shmlock-fleet-bench
    --features shmlock/logger,shmlock/block,shmlock/serde,shmlock/remote
    --features shmlock-core/embedded-hal,shmlock-core/embedded-hal-async)

debian_name() { case $1 in aarch64-*) echo arm64 ;; *) echo armhf ;; esac }
c_compiler() {
    case $1 in aarch64-*) echo aarch64-linux-gnu-gcc ;; *) echo arm-linux-gnueabihf-gcc ;; esac
}
variable() { echo "CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$1")_$2"; }

# use_linux_targets: configures cargo for ARM Linux. Static programs need no libraries of the
# target.
use_linux_targets() {
    needs aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu \
        arm-linux-gnueabihf-gcc gcc-arm-linux-gnueabihf
    [ -e /usr/aarch64-linux-gnu/lib/libc.a ] || needs '' libc6-dev-arm64-cross
    [ -e /usr/arm-linux-gnueabihf/lib/libc.a ] || needs '' libc6-dev-armhf-cross
    # They would take precedence over the variables below.
    unset RUSTFLAGS RUSTDOCFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
    # Unoptimised code is slow to emulate. A panic names its line without debug information.
    # Incremental builds would take gigabytes and save nothing: each build is done once.
    export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=none CARGO_INCREMENTAL=0
    local target
    for target in "${arm_linux[@]}"; do
        export "$(variable "$target" LINKER)=$(c_compiler "$target")" \
            "$(variable "$target" RUSTFLAGS)=-C target-feature=+crt-static" \
            "$(variable "$target" RUSTDOCFLAGS)=-C target-feature=+crt-static"
    done
    rust_libraries "${arm_linux[@]}"
}

# rust_libraries TARGET...: provides Rust's standard library for these: rustup's, or Debian's with
# its compiler.
rust_libraries() {
    local target
    if command -v rustup >/dev/null &&
        RUST_BACKTRACE=0 timeout 300 rustup --quiet target add "$@"; then
        cargo --version
        return
    fi
    echo "rustup cannot add these targets; using Debian's compiler and libraries"
    debian_rust "" || die "neither rustup nor apt-get provides a compiler for $*"
    for target in "$@"; do
        [ -d "$debian_root/usr/lib/rustlib/$target" ] || packaged_std "$target" ||
            build_std "$target"
    done
}

# packaged_std TARGET: installs Debian's library of the compiler's version into the unpacked
# compiler.
packaged_std() {
    local work
    work=$(mktemp -d "$cache/std.XXXXXX")
    local package=libstd-rust-web-dev=${debian_root##*/debian-rust-}
    foreign_package "$(debian_name "$1")" "$work" "$package" &&
        mv "$work/usr/lib/rustlib/$1" "$debian_root/usr/lib/rustlib/" && rm -r "$work"
}

# build_std TARGET: builds the library where Debian has none. It needs an unstable option, so it is
# built separately, once; see build_libcore.
build_std() {
    local work
    echo "Debian has no library for $1; building it once (about two minutes)"
    work=$(mktemp -d "$cache/std.XXXXXX")
    mkdir "$work/src"
    echo '#![no_std]' >"$work/src/lib.rs"
    cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "nothing"
edition = "2024"
[workspace]
[profile.release]
opt-level = 1
TOML
    (
        cd "$work" || exit
        RUSTC_BOOTSTRAP=1 cargo build --quiet --release --target "$1" --target-dir target \
            -Z build-std=std,panic_unwind,test
    )
    mkdir "$work/$1"
    mv "$work/target/$1/release/deps" "$work/$1/lib"
    rm -f "$work/$1"/lib/{*.d,libnothing*}
    mv "$work/$1" "$debian_root/usr/lib/rustlib/"
    rm -r "$work"
}

# foreign_package ARCHITECTURE DIRECTORY PACKAGE [SUITE]: unpacks a Debian package of another
# architecture, or of another suite. It uses a separate apt state, so that the system's dpkg does
# not learn the architecture; one for each architecture and suite, because one broken index drops a
# whole suite.
foreign_package() {
    command -v apt-get >/dev/null || { echo "there is no apt-get" >&2; return 1; }
    local architecture=$1 directory=$2 package=$3 state=$cache/apt-$1${4:+-$4} suite=bookworm
    # Other distributions have Debian's keys in this package.
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || needs '' debian-archive-keyring
    ! grep -q '^ID=debian' /etc/os-release ||
        suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    suite=${4:-$suite}
    mkdir -p "$state"/{lists/partial,cache/archives/partial,sources}
    cat >"$state/sources/debian.sources" <<SOURCES
Types: deb
URIs: http://deb.debian.org/debian
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    [ -n "${4:-}" ] || cat >>"$state/sources/debian.sources" <<SOURCES

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: $suite-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    cat >"$state/apt.conf" <<CONF
Dir::State "$state"; Dir::State::Lists "$state/lists"; Dir::State::status "/dev/null";
Dir::Cache "$state/cache";
Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "$state/sources";
APT::Architecture "$architecture"; APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
CONF
    (
        export APT_CONFIG=$state/apt.conf
        [ -n "$(find "$state/lists" -maxdepth 1 -name '*Packages*' -mmin -720)" ] ||
            apt-get -qq update || true
        cd "$directory" || exit
        # A metapackage depends on the current kernel first.
        case $package in linux-image-*)
            package=$(apt-cache depends "$package" | sed -n 's/^ *Depends: *//p' | head -n1) ;;
        esac
        [ -n "$package" ] && apt-get -qq download "$package" && dpkg -x ./*.deb . && rm ./*.deb
    )
}

# kernel_of TARGET: prints the path of Debian's kernel, downloaded once. It needs no modules: tmpfs,
# futex, console and initramfs are built in.
kernel_of() {
    local architecture package work kernel
    architecture=$(debian_name "$1")
    kernel=$cache/kernel-$architecture/vmlinuz
    package=linux-image-armmp-lpae
    [ "$architecture" != arm64 ] || package=linux-image-arm64
    if [ ! -e "$kernel" ]; then
        mkdir -p "$cache" && work=$(mktemp -d "$cache/unpack.XXXXXX") || return
        foreign_package "$architecture" "$work" "$package" >&2 || return
        mkdir -p "${kernel%/*}" && mv "$work"/boot/vmlinuz-* "$kernel" && rm -r "$work" || return
    fi
    echo "$kernel"
}

# emulator TARGET: prints the path of a user-mode emulator. If none is installed, it unpacks
# Debian's into the cache: installing the package would register it with the kernel for all
# programs.
emulator() {
    local name unpacked=$cache/qemu-user
    case $1 in aarch64-*) name='qemu-aarch64' ;; *) name='qemu-arm' ;; esac
    command -v "$name-static" || command -v "$name" && return
    [ -x "$unpacked/usr/bin/$name-static" ] || unpack_emulators "$unpacked" >&2 || return
    echo "$unpacked/usr/bin/$name-static"
}

unpack_emulators() {
    local work
    apt-cache show qemu-user-static >/dev/null 2>&1 || refresh_package_lists
    mkdir -p "$cache" && work=$(mktemp -d "$cache/unpack.XXXXXX") || return
    (
        cd "$work" && apt-get -qq -o APT::Sandbox::User=root download qemu-user-static &&
            dpkg -x ./*.deb . && rm ./*.deb
    ) && mv "$work" "$1"
}
