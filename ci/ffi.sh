#!/usr/bin/env bash
# Proves: ffi/core/include/shmlock_core.h is what cbindgen generates from the sources, and C and C++
# compilers accept it without a warning; no function of it can panic; C and Rust programs share one
# lock and lose no increment, but do without it; a C program recovers from a killed owner; a handle
# notices a forked child; the parties of a ticket lock lose no increment, recover the lock of a
# killed one once, and bury it; a signal handler may call a handle after each instruction of the
# release build. `ci/ffi.sh header` generates the header again.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/ffi.sh

PATH=$PATH:$cache/tools/bin
# generate FILE: with a fixed version, because another one may lay the header out differently.
generate() {
    [[ $(cbindgen --version 2>/dev/null) = "cbindgen 0.29.4" ]] ||
        cargo install --quiet --locked --version 0.29.4 --root "$cache/tools" --force cbindgen ||
        return 77
    "$cache/tools/bin/cbindgen" --quiet --config ffi/core/cbindgen.toml --output "$1" ffi/core
}
if [ "${1:-}" = header ]; then
    generate "$header"
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v cc >/dev/null || skip "no C compiler; install one, as the package gcc"
echo '#include <shmlock_core.h>' | tee "$work/header.c" >"$work/header.cpp"
checks=(-pedantic -Wall -Wextra -Werror -Iffi/core/include -fsyntax-only)
for standard in c99 c11 c17; do cc -std=$standard "${checks[@]}" "$work/header.c"; done
! command -v c++ >/dev/null || for standard in c++11 c++17 c++20; do
    c++ -std=$standard "${checks[@]}" "$work/header.cpp"
done

archive=$(archive "")
no_panics cc "$archive" "$work"
for program in counter recover forked ticket; do
    c_program cc "$archive" "examples/c/$program.c" "$work/$program"
done
c_program cc "$archive" ffi/core/tests/c/ticket_recover.c "$work/ticket_recover"
cargo build --quiet --release -p shmlock-examples --example mapped_region
rust=${CARGO_TARGET_DIR:-target}/release/examples/mapped_region

count_together "$work/region" 200000 "$work/counter" "$work/counter" "$rust" "$rust"
loses_without_the_lock "$work/region" "$work/counter"
recovers "$work/recover"
forks "$work/forked"
buries "$work/ticket"
"$work/ticket_recover"
cargo test --quiet --release -p shmlock-core-ffi --test every_instruction

status=0
generate "$work/shmlock_core.h" || status=$?
[ "$status" != 77 ] ||
    skip "cbindgen is neither installed nor installable: the header was not compared"
[ "$status" = 0 ] || die "cbindgen failed"
diff -u "$header" "$work/shmlock_core.h" || die "$header is out of date: run bash ci/ffi.sh header"
