# Sourced: builds the archive of ffi/core and the C programs of examples/c, and runs them together.
# shellcheck shell=bash

header=ffi/core/include/shmlock_core.h
c_flags=(-std=c11 -O2 -pedantic -Wall -Wextra -Werror -Iffi/core/include)

# archive TARGET: builds it, for this machine if TARGET is empty; prints its path.
archive() {
    cargo build --quiet --profile c -p shmlock-core-ffi ${1:+--target "$1"}
    echo "${CARGO_TARGET_DIR:-target}/${1:+$1/}c/libshmlock_core_c.a"
}

# c_program COMPILER ARCHIVE SOURCE PROGRAM [FLAG...]
c_program() { "$1" "${c_flags[@]}" "${@:5}" "$3" "$2" -Wl,--gc-sections -o "$4"; }

# no_panics COMPILER ARCHIVE WORK: fails if a function of the header can panic. The linker keeps
# what the functions reach, and drops the rest.
no_panics() {
    local function functions=() roots=()
    mapfile -t functions < <(grep -oE 'shmlock_core_[a-z_]+\(' "$header" | tr -d '(' | sort -u)
    [ "${#functions[@]}" -ge 15 ] || die "$header has only ${#functions[@]} functions"
    for function in "${functions[@]}"; do roots+=("-Wl,-u,$function"); done
    echo 'int main(void) { return 0; }' >"$3/roots.c"
    c_program "$1" "$2" "$3/roots.c" "$3/roots" "${roots[@]}"
    for function in "${functions[@]}"; do
        # Not -q: nm would fail if grep stopped reading.
        nm "$3/roots" | grep " T $function\$" >/dev/null ||
            die "$function is in the header but not in the archive"
    done
    ! nm -C "$3/roots" | grep -E 'core::panicking|rust_begin_unwind|_fail(ed)?$' ||
        die "a function can panic, see above"
    echo "${#functions[@]} functions, none can panic"
}

# count_together REGION INCREMENTS PROGRAM...: runs the commands at the same time in one region,
# each with its own token; fails if an increment is lost.
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
    [ "$counted" = $(($# * increments)) ] ||
        die "$counted of $(($# * increments)) increments counted"
    echo "$# programs, $counted increments, nothing lost"
}

# counter_in REGION: prints the number behind the lock.
counter_in() { od -A n -t u4 -j 128 -N 4 "$1" | tr -d ' '; }

# loses_without_the_lock REGION COUNTER...: the control. Two programs without the lock lose
# increments within some rounds: each runs for longer than a busy machine lets a program run.
loses_without_the_lock() {
    local region=$1 round other increments=20000000
    shift
    for ((round = 1; round <= 50; round++)); do
        head -c 192 /dev/zero >"$region"
        "$@" "$region" 1 "$increments" --no-lock &
        other=$!
        if ! "$@" "$region" 2 "$increments" --no-lock || ! wait "$other"; then
            die "a program failed, see above"
        fi
        [ "$(counter_in "$region")" = $((2 * increments)) ] || break
    done
    [ "$round" -le 50 ] || die "50 rounds without the lock lost nothing: the test proves nothing"
    echo "without the lock: $(counter_in "$region") of $((2 * increments)) counted"
}

# recovers COMMAND...: the output is as expected at the head of examples/c/recover.c.
recovers() { prints_as_expected recover "$@"; }

# forks COMMAND...: the output is as expected at the head of examples/c/forked.c.
forks() { prints_as_expected forked "$@"; }

# buries COMMAND...: the output is as expected at the head of examples/c/ticket.c.
buries() { prints_as_expected ticket "$@"; }

# prints_as_expected EXAMPLE COMMAND...
prints_as_expected() {
    local source=examples/c/$1.c
    diff <(sed -n '/Expected output/,/\*\//s/^     //p' "$source") <("${@:2}") ||
        die "$source printed something else"
}
