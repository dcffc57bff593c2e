#!/usr/bin/env bash
# install.sh [TARGET [ROOT [LIBDIR]]]: builds the library for C, and lays it out under ROOT as on
# the installed system: libraries and shmlock.pc in LIBDIR, which is PREFIX/lib, PREFIX/lib64 or
# below them; headers and manual pages in PREFIX/include and PREFIX/share/man. TARGET is a target of
# rustc. The defaults are this machine, `/` and /usr/local/lib; "" is a default as well. CC, OBJCOPY
# and AR are the C compiler and the tools for it.
set -euo pipefail
root=$(realpath -m "${2:-/}")
[ "$root" != / ] || root=''
libdir=${3:-/usr/local/lib} target=${1:-}
cd "$(dirname "$0")/../.."

die() {
    echo "error: $*" >&2
    exit 1
}
prefix=$(sed -n 's|^\(/.*\)/lib\(64\)\?\(/.*\)\?$|\1|p' <<<"$libdir")
[ -n "$prefix" ] || die "$libdir is not the path of a directory lib below a prefix: /usr/local/lib"
command -v cargo >/dev/null || die "cargo not found: install Rust, at least the rust-version of" \
    "Cargo.toml, and add it to PATH; sudo(8) has a PATH of its own, see ffi/shell/README.md"

case ${target:-native} in
    native | "$(rustc -vV | sed -n 's/^host: //p')") tools='' ;;
    aarch64-unknown-linux-gnu) tools=aarch64-linux-gnu- ;;
    armv7-unknown-linux-gnueabihf) tools=arm-linux-gnueabihf- ;;
    *) tools='' ;;
esac
cc=${CC:-${tools}gcc} objcopy=${OBJCOPY:-${tools}objcopy} ar=${AR:-${tools}ar}
[ -n "$tools" ] || cc=${CC:-cc}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)

# As a dynamic library needs it, also where the tests link programs statically.
cargo build --quiet --locked --profile shared -p shmlock-ffi ${target:+--target "$target"}
archive=${CARGO_TARGET_DIR:-target}/${target:+$target/}shared/libshmlock_c.a

# The functions of the header, which the linker keeps; it drops what none of them reaches.
functions=$(sed -n 's/^ *\(shmlock_[a-z_]*\);$/\1/p' ffi/shell/symbols.map)
[ -n "$functions" ] || die "there are no functions in symbols.map"
roots=()
for function in $functions; do roots+=("-Wl,-u,$function"); done

lib=$root$libdir
install -d "$lib/pkgconfig" "$root$prefix/include"

# Of the system's libraries, only those that are used. gcc_s unwinds. nodelete: the library has
# handlers of fork(2) and exit(3), and a thread; dlclose(3) must not unmap their code.
"$cc" -shared -o "$lib/libshmlock.so.$version" "${roots[@]}" "$archive" \
    -Wl,-soname,libshmlock.so.1 -Wl,--version-script,ffi/shell/symbols.map \
    -Wl,-z,nodelete,-z,relro,-z,now,-z,defs -Wl,--gc-sections,--as-needed,-O1,--strip-all \
    -Wl,--hash-style=gnu -lgcc_s -lpthread -ldl -lc
ln -sf "libshmlock.so.$version" "$lib/libshmlock.so.1"
ln -sf libshmlock.so.1 "$lib/libshmlock.so"

# One object with only these symbols: the archive can be linked with others from Rust, as
# ffi/core's.
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
"$cc" -r -nostdlib -o "$work/shmlock.o" "${roots[@]}" "$archive" -Wl,--gc-sections
# shellcheck disable=SC2086 # one word a symbol
printf '%s\n' $functions >"$work/symbols"
# Without symbols that nothing refers to: a static program would get more of the C library than is
# used. Without the compiler's bitcode, which an ar with a plugin of another LLVM cannot read.
# The group of the reference to the unwinder's function is shared by its name: ffi/core's archive
# has one that does nothing.
"$objcopy" --keep-global-symbols="$work/symbols" --strip-unneeded \
    --remove-section=.llvmbc --remove-section=.llvmcmd \
    --redefine-sym DW.ref.rust_eh_personality=DW.ref.shmlock_eh_personality "$work/shmlock.o"
rm -f "$lib/libshmlock.a"
"$ar" rcsD "$lib/libshmlock.a" "$work/shmlock.o"

install -m 644 ffi/shell/include/* "$root$prefix/include/"
bash ffi/shell/man.sh "$root$prefix/share/man/man3"
cat >"$lib/pkgconfig/shmlock.pc" <<END
prefix=$prefix
libdir=$libdir
includedir=\${prefix}/include

Name: shmlock
Description: A lock between processes, known only by its name
URL: $(sed -n 's/^repository = "\(.*\)"$/\1/p' Cargo.toml)
Version: $version
Libs: -L\${libdir} -lshmlock
Libs.private: -lpthread -ldl
Cflags: -I\${includedir}
END

# The loader looks into /usr/local/lib by its cache.
[ -n "$root" ] || [ "$(id -u)" != 0 ] || ldconfig
