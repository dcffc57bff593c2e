#!/usr/bin/env bash
# Proves: no uncontended acquire and release, and no refused try, takes more instructions than
# ci/instructions.txt says, here and on ARM Linux; `ShmLock`'s take fewer than those of the C
# library's plain mutex; those in a shared library make no call for thread-local variables; a
# program that uses the library runs under Valgrind; and the code from a wake to the critical
# section is one function.
# `instructions.sh --update` writes that file. Commit a number that has shrunk, so that it cannot
# grow again.
#
# Valgrind counts the release build exactly and repeatably: the difference of two runs, one with
# more rounds. Compilers differ, so numbers are compared for one compiler version only.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

file=ci/instructions.txt
few=1000 many=101000

use_valgrind() {
    if command -v valgrind >/dev/null; then return; fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then skip "install valgrind"; fi
    apt-get -qq install --yes valgrind >/dev/null 2>&1 ||
        { apt-get -qq update && apt-get -qq install --yes valgrind >/dev/null; } ||
        skip "valgrind cannot be installed"
}

# count CASE TIMES: prints the instructions of the whole program.
count() {
    local log
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1) ||
        { echo "$log" >&2 && return 1; }
    sed -n 's/^.*Collected *: *\([0-9]*\)$/\1/p' <<<"$log"
}

# of CASE: prints the instructions of one round, rounded.
of() {
    local less more
    less=$(count "$1" $few) && more=$(count "$1" $many) || return 1
    [ -n "$less" ] && [ -n "$more" ] || return 1
    echo $(((more - less + (many - few) / 2) / (many - few)))
}

entry() { sed -n "s/^$1 //p" $file; }

use_valgrind
cargo build --quiet --release -p shmlock-tests --bin instructions
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
program=$target_dir/release/instructions
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT

# The minor version: patch releases do not change code generation.
rustc=$(rustc --version | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
host=$(rustc -vV | sed -n 's/^host: //p')
# In percent, at least one instruction: for the libc calls of some cases, which differ among
# systems.
slack=$(entry slack)
slack=${slack:-2}

counted='' grown=0 shrunk=0

# judge CASE NOW: compares a count with the file's.
judge() {
    local case=$1 now=$2 before allowed verdict
    before=$(entry "$case")
    allowed=$((${before:-0} + (${before:-0} * slack < 100 ? 1 : ${before:-0} * slack / 100)))
    counted+="$case $now"$'\n'
    verdict=''
    if [ -z "$before" ]; then
        verdict="new" shrunk=1
    elif [ "$now" -gt $allowed ] && [[ $case != glibc-* ]]; then
        verdict="GROWN by $((now - before))" grown=1
    elif [ "$now" -lt "$before" ]; then
        verdict="shrunk by $((before - now))" shrunk=1
    fi
    printf '%-28s %8d %8s  %s\n' "$case" "$now" "${before:--}" "$verdict"
}

# below_mutex SUFFIX CASE...: fails if a case takes as many as the C library's plain mutex.
below_mutex() {
    local case mutex
    mutex=$(sed -n "s/^glibc-mutex$1 //p" <<<"$counted")
    for case in "${@:2}"; do
        [ "$(sed -n "s/^$case$1 //p" <<<"$counted")" -lt "$mutex" ] ||
            die "$case$1 takes as many as a plain mutex: $mutex"
    done
}

printf '%-28s %8s %8s\n' "instructions" "now" "before"
for case in $("$program" --list); do
    now=$(of "$case") || die "$case cannot be counted, see above"
    judge "$case" "$now"
done
below_mutex '' shmlock-guard shmlock-acquire-release

# On ARM, by emulators. Where one is missing, the file keeps its lines.
if on_arm=$(bash cross-tests/probes/count_pairs.sh 2>"$messages"); then
    while read -r case now; do judge "$case" "$now"; done <<<"$on_arm"
    for target in -aarch64-lse -aarch64-pairs -armv7; do below_mutex $target shmlock; done
else
    echo "skipped: ARM Linux: $(tail -n 1 "$messages")"
    counted+=$(sed -n '/-\(aarch64\|armv7\)/p' $file)$'\n'
fi

# In a shared library. What is called there is apart from the undisturbed pair.
swap=cmpxchg
[[ $host = x86_64-* ]] || swap=''
cargo build --quiet --release --manifest-path cross-tests/probes/cost/Cargo.toml \
    --target-dir "$target_dir/cost" --example pair
library=$target_dir/cost/release/examples/libpair.so
for function in pair_guard pair_unguarded; do
    code=$(objdump --disassemble=$function "$library")
    grep -q "$swap" <<<"$code" || die "the pair is not inlined into $function of $library"
    ! grep -q __tls_get_addr <<<"$code" || die "$function asks for a thread-local variable"
done

if [ "${1:-}" = --update ]; then
    {
        sed -n '/^#/p' $file
        printf 'rustc %s\nhost %s\nslack %d\n%s' "$rustc" "$host" "$slack" "$counted"
    } >"$file.new"
    mv "$file.new" $file
    echo "written to $file"
    exit
fi
[ "$rustc $host" = "$(entry rustc) $(entry host)" ] ||
    skip "not compared: rustc is $rustc for $host, $file is of $(entry rustc) for $(entry host)"
# The code from the system call of a sleep to the critical section is inlined into `acquire_slow`:
# see std-shell/src/lock/contend.rs. Separate functions would cost a woken waiter cache misses.
inlined=(acquire_outermost contend end_wait begin_hold write_record advance after_spin sleep_on)
for name in "${inlined[@]}"; do
    grep -rqE "fn $name\b" std-shell/src || die "no function $name: correct the list"
done
symbols=$(nm --demangle "$program")
grep -qE 'shmlock::lock::(\w+::)*ShmLock>::acquire_slow$' <<<"$symbols" ||
    die "no function \`acquire_slow\` in $program"
names=$(IFS='|' && echo "${inlined[*]}")
apart=$(grep -E "shmlock::.*(ShmLock|Waiter)>?::($names)\$|Waiter as .*>::wait\$" \
    <<<"$symbols" || true)
apart+=$(grep -oE 'acquire_contended_inline$' <<<"$symbols" || true)
[ -z "$apart" ] || die "not inlined into \`acquire_slow\`: $apart"
[ $shrunk = 0 ] || echo "some are less, or new: run ci/instructions.sh --update and commit $file"
[ $grown = 0 ] || die "a case takes over $slack % more instructions than before; if it must," \
    "run ci/instructions.sh --update and state the reason in the commit"
