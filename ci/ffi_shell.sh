#!/usr/bin/env bash
# Proves: ffi/shell/include/shmlock.h is what cbindgen generates from the sources, and C and C++
# compilers accept it without a warning, also beside the core's header; libshmlock.so.1 exports the
# functions of the header and of symbols.map and nothing else, at one version; each function and
# type has a manual page; an undisturbed pair asks for no thread-local variable, and costs at most
# 1.3 times the crate's beside the calls themselves; programs in C, Rust and Python share one
# counter and lose no increment, but do without the lock; a C program recovers from a killed owner,
# and a signal ends its wait; the library can be loaded and unloaded; AddressSanitizer has no
# remark.
# `ci/ffi_shell.sh header` generates the header again.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/ffi_shell.sh

header=ffi/shell/include/shmlock.h
PATH=$PATH:$cache/tools/bin
# generate FILE: with a fixed version, because another one may lay the header out differently.
generate() {
    [[ $(cbindgen --version 2>/dev/null) = "cbindgen 0.29.4" ]] ||
        cargo install --quiet --locked --version 0.29.4 --root "$cache/tools" --force cbindgen ||
        return 77
    cbindgen --quiet --config ffi/shell/cbindgen.toml --output "$1" ffi/shell
}
if [ "${1:-}" = header ]; then
    generate "$header"
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v cc >/dev/null || skip "no C compiler; install one, as the package gcc"
has_cpp=$(command -v c++ || true)

bash ffi/shell/install.sh "" "$work" /usr/lib
include=$work/usr/include lib=$work/usr/lib
export LD_LIBRARY_PATH=$lib PKG_CONFIG_PATH=$lib/pkgconfig

# The header, alone and beside the core's.
printf '%s\n' '#include <shmlock.h>' >"$work/header.c"
printf '%s\n' '#include <shmlock.h>' '#include <shmlock_core.h>' >"$work/headers.c"
cp "$work/headers.c" "$work/headers.cpp"
echo '#include <shmlock.hpp>' >"$work/header.cpp"
checks=(-pedantic -Wall -Wextra -Werror "-I$include" -Iffi/core/include -fsyntax-only)
for standard in c99 c11 c17; do
    cc -std=$standard "${checks[@]}" "$work/header.c"
    cc -std=$standard "${checks[@]}" "$work/headers.c"
done
[ -z "$has_cpp" ] || for standard in c++11 c++17 c++20; do
    c++ -std=$standard "${checks[@]}" "$work/header.cpp"
    c++ -std=$standard "${checks[@]}" "$work/headers.cpp"
done

# The symbols. One that is removed or renamed breaks programs: it needs another soname.
functions=$(grep -oE '\bshmlock_[a-z_]+\(' "$header" | tr -d '(' | sort -u)
listed=$(sed -n 's/^ *\(shmlock_[a-z_]*\);$/\1/p' ffi/shell/symbols.map)
exported=$(nm -D --defined-only --with-symbol-versions "$lib/libshmlock.so.1" |
    sed -n 's/^.* T //p' | sort)
[ "$functions" = "$listed" ] || die "symbols.map is not the list of the header's functions:
$(diff <(echo "$functions") <(echo "$listed"))"
[ "$exported" = "${listed//$'\n'/@@SHMLOCK_1$'\n'}@@SHMLOCK_1" ] ||
    die "the library exports something else: $exported"
others=$(nm -D --defined-only "$lib/libshmlock.so.1" | grep -v ' T shmlock_\| A SHMLOCK_1$' || true)
[ -z "$others" ] || die "the library exports as well: $others"
globals=$(nm "$lib/libshmlock.a" | grep -E ' [TDBRVWCu] ' | grep -v ' T shmlock_' || true)
[ -z "$globals" ] || die "the static library has other global symbols: $globals"
dynamic=$(readelf -d "$lib/libshmlock.so.1")
grep -q 'soname: \[libshmlock.so.1\]' <<<"$dynamic" || die "another soname: $dynamic"
grep -q NODELETE <<<"$dynamic" || die "dlclose(3) would unload the library"
echo "$(wc -l <<<"$listed") functions; $(stat -c %s "$(realpath "$lib/libshmlock.so.1")") bytes," \
    "$(stat -c %s "$lib/libshmlock.a") static"

# Its manual pages.
types=$(sed -n -e 's/^} \(shmlock_[a-z_]*\);$/\1/p' -e 's/^enum \(shmlock_[a-z_]*\)$/\1/p' \
    -e 's/^typedef [a-z]* (\*\(shmlock_[a-z_]*\))(.*/\1/p' "$header")
[ "$(wc -l <<<"$types")" -ge 13 ] || die "$header has too few types: $types"
pages=$(cd "$work/usr/share/man/man3" && printf '%s\n' * | LC_ALL=C sort)
expected=$(printf 'shmlock\n%s\n%s\n' "$functions" "$types" | sed 's/$/.3/' | LC_ALL=C sort)
[ "$pages" = "$expected" ] || die "not a manual page for each function and each type:
$(diff <(echo "$expected") <(echo "$pages"))"
# Each constant of the header is on one of them.
while read -r name; do
    grep -qx "\.B $name\( = .*\)\?" "$work"/usr/share/man/man3/* || die "no manual page has $name"
done < <(sed -n -e 's/^    \(SHMLOCK_[A-Z_]*\) = .*/\1/p' \
    -e 's/^#define \(SHMLOCK_[A-Z_]*\) [0-9].*/\1/p' "$header")
! command -v man >/dev/null || for page in "$work"/usr/share/man/man3/*; do
    complaints=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
    [ -z "$complaints" ] || die "$page: $complaints"
done

# The undisturbed pair. What it calls is apart, and is called by an address in the offset table.
if [[ $(uname -m) = x86_64 ]]; then
    slot=$(readelf -rW "$lib/libshmlock.so.1" | sed -n 's/^0*\([0-9a-f]*\) .*__tls_get_addr.*/\1/p')
    code() { objdump -d --no-show-raw-insn "$@" "$lib/libshmlock.so.1"; }
    asks="# ($slot) |__tls_get_addr"
    # Not -q: objdump would fail if grep stopped reading.
    if [ -z "$slot" ] || ! code | grep -E "$asks" >/dev/null; then
        die "nothing asks for a thread-local variable: look for them in another way"
    fi
    for function in shmlock_lock shmlock_release; do
        pair=$(code --disassemble="$function")
        grep -q 'lock cmpxchg\|xchg' <<<"$pair" || die "the pair is not inlined into $function"
        ! grep -E "$asks" <<<"$pair" || die "$function asks for a thread-local variable"
    done
fi

edges=ffi/shell/tests/c/guards_edges.cpp
# programs FLAG...: builds and runs the examples, and the test of the guards.
programs() {
    local name
    for name in named_counter named_recover named_signal; do
        shell_program cc "$work" "examples/c/$name.c" "$work/$name" "$@"
    done
    output_is_expected examples/c/named_recover.c "$work/named_recover"
    output_is_expected examples/c/named_signal.c "$work/named_signal"
    [ -z "$has_cpp" ] || {
        shell_program cc "$work" examples/cpp/guards.cpp "$work/guards" "$@"
        output_is_expected examples/cpp/guards.cpp "$work/guards"
        shell_program cc "$work" $edges "$work/guards_edges" "$@"
        output_is_expected $edges "$work/guards_edges"
    }
}
programs
loaded=ffi/shell/tests/c/loaded.c
shell_program cc "$work" $loaded "$work/loaded"
output_is_expected $loaded "$work/loaded" "$lib/libshmlock.so.1"

# Both libraries as archives: neither has a symbol of the other.
cargo build --quiet --profile c -p shmlock-core-ffi
cc -std=c11 "-I$include" -Iffi/core/include ffi/shell/tests/c/both.c "$lib/libshmlock.a" \
    "${CARGO_TARGET_DIR:-target}/c/libshmlock_core_c.a" -o "$work/both" -pthread -ldl
"$work/both" || die "both libraries in one program: status $?"

cargo build --quiet -p shmlock-examples --example counter
rust="${CARGO_TARGET_DIR:-target}/debug/examples/counter $work/number"
ours="$work/named_counter $work/number 500"
count_in "$work/number" 3000 "$ours" "$rust" "$ours" "$rust" "$ours" "$rust"
! command -v python3 >/dev/null || # its bytecode stays out of the tree
    PYTHONDONTWRITEBYTECODE=1 count_in "$work/number" 1500 "$ours" "$rust" \
        "python3 examples/python/named_counter.py $work/number 500"
! command -v luajit >/dev/null || count_in "$work/number" 1500 "$ours" "$rust" \
    "luajit examples/lua/named_counter.lua $work/number 500"
loses_by_name "$work/number" "$work/named_counter"

# Under kills, with the Rust implementation and the frozen peer. The suite runs without this one.
shell_program cc "$work" ffi/shell/tests/c/mate.c "$work/mate"
SHMLOCK_MATE_IN_C=$work/mate SHMLOCK_PEER_SECONDS=${SHMLOCK_PEER_SECONDS:-15} \
    cargo test --quiet --release -p shmlock-tests --test frozen_peer -- --nocapture

if echo 'int main(void) { return 0; }' | cc -fsanitize=address,undefined -x c - -o "$work/none" &&
    "$work/none"; then
    programs -fsanitize=address,undefined -fno-sanitize-recover=all
    count_in "$work/number" 1500 "$ours" "$rust" "$ours"
else
    echo "skipped: no AddressSanitizer here"
fi

# What a pair costs, beside the crate's and pthread's. Each figure is the best of many short series,
# which a busy machine changes little. In some processes the addresses that a pair writes to share a
# set of the cache, so the best of five counts. Judged on x86-64, where it was measured.
cargo build --quiet --release --manifest-path cross-tests/probes/cost/Cargo.toml \
    --target-dir "${CARGO_TARGET_DIR:-target}/cost" --bin through_c
cost=0
for _ in {1..5}; do
    cost=0
    "${CARGO_TARGET_DIR:-target}/cost/release/through_c" "$lib/libshmlock.so.1" || cost=$?
    [ "$cost" = 1 ] || break
done
[ "$cost" = 0 ] || [[ "$cost" = 1 && $(uname -m) != x86_64 ]] ||
    die "a pair through the library costs too much, see above (status $cost)"

status=0
generate "$work/shmlock.h" || status=$?
[ "$status" != 77 ] ||
    skip "cbindgen is neither installed nor installable: the header was not compared"
[ "$status" = 0 ] || die "cbindgen failed"
diff -u "$header" "$work/shmlock.h" || die "$header is out of date: run bash ci/ffi_shell.sh header"
