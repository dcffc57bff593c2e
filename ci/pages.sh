#!/usr/bin/env bash
# Proves: the pages of docs/ show code as its files have it (ci/lib/quotes.awk); their links within
# the repository lead to files, and each label of a link is defined and used; the functions and the
# linker scripts of docs/firmware.md are there, and do what it says; the tests that docs/fleet.md
# names are there, and it has each error. (ci/fleet_page.sh runs the commands of docs/fleet.md.)
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- code

quotes() { awk -f ci/lib/quotes.awk "$@"; }
quotes docs/*.md
# The control: the comparison finds a change in each single line that is quoted.
for page in docs/*.md; do
    shown=$(awk '/^<!-- from /{ n = NR + 2 } n && NR >= n { if (/^```/) n = 0
        else if (!/^ *(\/\/ )?…$/) print NR }' "$page")
    for line in $shown; do
        sed "${line}s/\$/ changed/" "$page" >"$work/page.md"
        ! quotes "$work/page.md" >/dev/null || die "a change in $page:$line is not found"
    done
done

# --- links

for page in docs/*.md; do
    # Inline links and definitions; neither other sites nor places in this page.
    links=$(grep -oE '\]\([^) ]+\)|^\[[^]]+\]: [^ ]+' "$page" | sed -E 's/^.*(\]\(|: )//; s/\)$//' |
        grep -vE '^(https?:|#|mailto:)' | sed 's/#.*//' | sort -u) || true
    for link in $links; do
        [ -e "docs/$link" ] || die "$page: no such file: $link"
    done
    labels=$(diff <(grep -oE '\]\[[^]]+\]' "$page" | tr -d '[]' | sort -u) \
        <(sed -nE 's/^\[([^]]+)\]: .*/\1/p' "$page" | sort -u)) || die "$page: labels: $labels"
done

# --- names

# The functions that docs/firmware.md names are there: `Type::function`.
names=$(grep -oE '`[A-Z][A-Za-z]+::[a-z_]+' docs/firmware.md | tr -d '`' | sort -u)
[ -n "$names" ] || die "docs/firmware.md names no function"
for name in $names; do
    files=$(grep -rlE "^impl.*\b${name%%::*}\b" core/src std-shell/src |
        xargs -r grep -lE "fn ${name##*::}\b") || true
    [ -n "$files" ] || die "docs/firmware.md: no $name"
done

# The tests that docs/fleet.md names are there; etcd's metrics look alike.
# shellcheck disable=SC2016 # a backquote
tests=$(grep -oE '`[a-z0-9]+(_[a-z0-9]+){3,}`' docs/fleet.md | tr -d '`' | grep -v ^etcd_ | sort -u)
[ -n "$tests" ] || die "docs/fleet.md names no test"
for name in $tests; do
    grep -rqE "fn $name\(" fleet/tests fleet/src cli/tests || die "docs/fleet.md: no test $name"
done

# docs/fleet.md has each error of the fleet.
variant='^    \([A-Z][A-Za-z]*\)[ (,].*'
errors=$(sed -n "/^pub enum Error /,/^}/s/$variant/\1/p" fleet/src/error/mod.rs)
[ -n "$errors" ] || die "fleet/src/error/mod.rs has no error"
for name in $errors; do
    grep -q "^|.*\`$name\`.*|" docs/fleet.md || die "docs/fleet.md: no error $name"
done

# --- linker scripts

# block NAME: the block of docs/firmware.md that begins with the comment NAME.
block() {
    awk -v name="/* $1 */" '/^```/ { on = 0 } $0 == name { on = 1 } on' docs/firmware.md
}
for tool in cc ld readelf; do
    command -v "$tool" >/dev/null || skip "the linker scripts need $tool"
done
echo '__attribute__((section(".shared"), aligned(64))) unsigned lock[32]; int data = 1;' |
    cc -x c -c -o "$work/firmware.o" -
{
    block memory
    echo 'SECTIONS { .data : { *(.data*) } > RAM .bss : { *(.bss*) } > RAM }'
} >"$work/address.ld"
{ cat "$work/address.ld" && block section; } >"$work/section.ld"
for script in memory section; do
    [ -n "$(block "$script")" ] || die "docs/firmware.md lacks the script $script"
done

# segments SCRIPT [PROGRAM]: the segments at the shared address that a loader fills or clears, as
# "bytes in the file, bytes in memory".
segments() {
    ld -T "$work/$1.ld" -e 0 -o "$work/$1" "$work/${2-firmware}.o"
    readelf -lW "$work/$1" | awk '$1 == "LOAD" && $3 ~ /a4110000$/ { print $5, $6 }'
}
# A program that has no section there, only the symbol.
echo 'extern unsigned shared; unsigned *lock = &shared;' |
    cc -x c -c -o "$work/symbol.o" -
[ -z "$(segments address symbol)" ] || die "a segment covers the address that is only a symbol"
[ "$(segments section)" = "0x000000 0x000080" ] ||
    die "the section is not one that a loader clears: $(segments section)"
