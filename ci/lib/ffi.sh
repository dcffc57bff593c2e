# Sourced: the archive of ffi/core, the C programs of examples/c, and what they do together.
# shellcheck shell=bash

header=ffi/core/include/shmlock_core.h
c_flags=(-std=c11 -O2 -pedantic -Wall -Wextra -Werror -Iffi/core/include)

# archive TARGET: builds it, for this machine if TARGET is empty; says where it is.
archive() {
    cargo build --quiet --profile c -p shmlock-core-ffi ${1:+--target "$1"}
    echo "${CARGO_TARGET_DIR:-target}/${1:+$1/}c/libshmlock_core_c.a"
}

# c_program COMPILER ARCHIVE SOURCE PROGRAM [FLAG...]
c_program() { "$1" "${c_flags[@]}" "${@:5}" "$3" "$2" -Wl,--gc-sections -o "$4"; }

# no_panics COMPILER ARCHIVE WORK: no function of the header leads to a panic. The linker keeps what they lead to, and
# drops the rest.
no_panics() {
    local function functions=() roots=()
    mapfile -t functions < <(grep -oE 'shmlock_[a-z_]+\(' "$header" | tr -d '(' | sort -u)
    [ "${#functions[@]}" -ge 15 ] || die "$header has only ${#functions[@]} functions"
    for function in "${functions[@]}"; do roots+=("-Wl,-u,$function"); done
    echo 'int main(void) { return 0; }' >"$3/roots.c"
    c_program "$1" "$2" "$3/roots.c" "$3/roots" "${roots[@]}"
    for function in "${functions[@]}"; do
        nm "$3/roots" | grep -q " T $function\$" || die "$function is in the header and not in the archive"
    done
    ! nm -C "$3/roots" | grep -E 'core::panicking|rust_begin_unwind|_fail(ed)?$' || die "a panic can be reached, see above"
    echo "${#functions[@]} functions, none leads to a panic"
}

# count_together REGION INCREMENTS PROGRAM...: each command counts, under a token of its own, in one region at the same
# time; nothing is lost.
count_together() {
    local region=$1 increments=$2 token=0 program words programs=() counted
    shift 2
    head -c 192 /dev/zero >"$region"
    for program in "$@"; do
        token=$((token + 1))
        read -ra words <<<"$program"
        "${words[@]}" "$region" "$token" "$increments" &
        programs+=($!)
    done
    for program in "${programs[@]}"; do wait "$program" || die "a program failed, see above"; done
    counted=$(counter_in "$region")
    [ "$counted" = $(($# * increments)) ] || die "$counted of $(($# * increments)) increments counted"
    echo "$# programs, $counted increments, nothing lost"
}

# counter_in REGION: the number behind the lock.
counter_in() { od -A n -t u4 -j 128 -N 4 "$1" | tr -d ' '; }

# loses_without_the_lock REGION COUNTER...: the control. Two that do not lock lose counts, sooner or later.
loses_without_the_lock() {
    local region=$1 round other
    shift
    for ((round = 1; round <= 50; round++)); do
        head -c 192 /dev/zero >"$region"
        "$@" "$region" 1 500000 --no-lock &
        other=$!
        if ! "$@" "$region" 2 500000 --no-lock || ! wait "$other"; then die "a program failed, see above"; fi
        [ "$(counter_in "$region")" = 1000000 ] || break
    done
    [ "$round" -le 50 ] || die "50 rounds without the lock lost nothing, so nothing was seen"
    echo "without the lock: $(counter_in "$region") of 1000000 counted"
}

# recovers COMMAND...: says what the head of examples/c/recover.c promises.
recovers() { says recover "$@"; }

# forks COMMAND...: says what the head of examples/c/forked.c promises.
forks() { says forked "$@"; }

# says EXAMPLE COMMAND...: the command's output is what the head of the example promises.
says() {
    local source=examples/c/$1.c
    diff <(sed -n '/Expected output/,/\*\//s/^     //p' "$source") <("${@:2}") || die "$source said something else"
}
