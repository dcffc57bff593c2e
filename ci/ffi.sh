#!/usr/bin/env bash
# Proves: ffi/core/include/shmlock_core.h is what cbindgen makes of the sources, and C and C++ compilers have no remark on it; no
# function of it leads to a panic; C and Rust programs share one lock and lose nothing, as they do without it; a C program
# takes over from one that was killed; a handle notices that it is in a forked child; a signal handler may call a handle
# after each instruction of the release build. `ci/ffi.sh header` makes the header anew.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/ffi.sh

PATH=$PATH:$cache/tools/bin
# generate FILE: in one version, for another may lay the header out in another way.
generate() {
    [[ $(cbindgen --version 2>/dev/null) = "cbindgen 0.29.4" ]] ||
        cargo install --quiet --locked --version 0.29.4 --root "$cache/tools" --force cbindgen || return 77
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
for standard in c99 c11 c17; do
    cc -std=$standard -pedantic -Wall -Wextra -Werror -Iffi/core/include -fsyntax-only "$work/header.c"
done
! command -v c++ >/dev/null ||
    c++ -std=c++11 -pedantic -Wall -Wextra -Werror -Iffi/core/include -fsyntax-only "$work/header.cpp"

archive=$(archive "")
no_panics cc "$archive" "$work"
for program in counter recover forked; do c_program cc "$archive" "examples/c/$program.c" "$work/$program"; done
cargo build --quiet --release -p shmlock-examples --example mapped_region
rust=${CARGO_TARGET_DIR:-target}/release/examples/mapped_region

count_together "$work/region" 200000 "$work/counter" "$work/counter" "$rust" "$rust"
loses_without_the_lock "$work/region" "$work/counter"
recovers "$work/recover"
forks "$work/forked"
cargo test --quiet --release -p shmlock-core-ffi --test every_instruction

status=0
generate "$work/shmlock_core.h" || status=$?
[ "$status" != 77 ] || skip "cbindgen is neither installed nor installable: the header was not compared, all else is well"
[ "$status" = 0 ] || die "cbindgen failed"
diff -u "$header" "$work/shmlock_core.h" || die "$header is out of date: bash ci/ffi.sh header"
