#!/usr/bin/env bash
# Proves: no undisturbed acquire and release, and no refused try, takes more instructions than ci/instructions.txt says; and
# who has been woken comes to its section through as few functions as it should.
# `instructions.sh --update` writes that file anew; when a number has shrunk, commit it, so that it cannot grow again.
#
# Counted by Valgrind, exactly and the same in each run, in the release build that users get: of two runs, one with more
# turns, the difference. Another compiler counts otherwise, so numbers are compared with those of one version only.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

file=ci/instructions.txt
few=1000 many=101000

use_valgrind() {
    if command -v valgrind >/dev/null; then return; fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then skip "no valgrind here; install it"; fi
    apt-get -qq install --yes valgrind >/dev/null 2>&1 ||
        { apt-get -qq update && apt-get -qq install --yes valgrind >/dev/null; } || skip "valgrind cannot be installed"
}

# count CASE TIMES: all instructions of the program, from its start to its end.
count() {
    local log
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1) ||
        { echo "$log" >&2 && return 1; }
    sed -n 's/^.*Collected *: *\([0-9]*\)$/\1/p' <<<"$log"
}

# of CASE: the instructions of one turn, rounded.
of() {
    local less more
    less=$(count "$1" $few) && more=$(count "$1" $many) && [ -n "$less" ] && [ -n "$more" ] || return 1
    echo $(((more - less + (many - few) / 2) / (many - few)))
}

entry() { sed -n "s/^$1 //p" $file; }

use_valgrind
# Valgrind does not show programs the kernel's auxiliary vector, where rustix looks for the vDSO when it is first asked for
# the time; with this feature it asks libc (bytecodealliance/rustix issue 1559). Nothing that is counted depends on it.
cargo build --quiet --release -p shmlock-tests --bin instructions --features rustix/use-libc-auxv
program=${CARGO_TARGET_DIR:-target}/release/instructions

# The minor version: patches of the compiler leave code alone.
rustc=$(rustc --version | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
host=$(rustc -vV | sed -n 's/^host: //p')
# In percent, and one instruction at least. An exact count needs hardly any: it is for what some cases call in libc, of
# which every system has another version.
slack=$(entry slack)
slack=${slack:-2}

counted='' grown=0 shrunk=0
printf '%-28s %8s %8s\n' "instructions" "now" "before"
for case in $("$program" --list); do
    now=$(of "$case") || die "$case cannot be counted, see above"
    before=$(entry "$case")
    allowed=$((${before:-0} + (${before:-0} * slack < 100 ? 1 : ${before:-0} * slack / 100)))
    counted+="$case $now"$'\n'
    verdict=''
    if [ -z "$before" ]; then
        verdict="new" shrunk=1
    elif [ "$now" -gt $allowed ]; then
        verdict="GROWN by $((now - before))" grown=1
    elif [ "$now" -lt "$before" ]; then
        verdict="shrunk by $((before - now))" shrunk=1
    fi
    printf '%-28s %8d %8s  %s\n' "$case" "$now" "${before:--}" "$verdict"
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
    skip "not compared: this is rustc $rustc for $host, and $file is of $(entry rustc) for $(entry host)"
# All between the system call of a sleep and the critical section is compiled into `acquire_slow`, see
# std-shell/src/lock/contend.rs.
symbols=$(nm --demangle "$program")
grep -q 'ShmLock>::acquire_slow$' <<<"$symbols" || die "no function \`acquire_slow\` in $program"
apart=$(grep -oE 'Waiter::(advance|after_spin|sleep|sleep_on)$|Waiter as shmlock_core::wait::Wait>::wait$|acquire_contended_inline$' \
    <<<"$symbols" || true)
apart+=$(grep -oE 'ShmLock>::(acquire_outermost|contend|end_wait|begin_hold|write_record)$' <<<"$symbols" || true)
[ -z "$apart" ] || die "no part of \`acquire_slow\` any more, and so a cache miss or two for who has been woken: $apart"
[ $shrunk = 0 ] || echo "some are less, or new: run ci/instructions.sh --update and commit $file"
[ $grown = 0 ] || die "something takes over $slack % more instructions than before; if it is worth" \
    "that, run ci/instructions.sh --update, and say in the commit why"
