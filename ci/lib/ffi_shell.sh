# Sourced: builds programs against libshmlock.so.1 as ffi/shell/install.sh has laid it out, and runs
# them together.
# shellcheck shell=bash

# shell_program COMPILER ROOT SOURCE PROGRAM [FLAG...]: COMPILER is one for C; for C++ its sister.
shell_program() {
    local compiler=("$1" -std=c11)
    [[ $3 != *.cpp ]] || compiler=("$(cpp_of "$1")" -std=c++17)
    "${compiler[@]}" -O1 -g -pedantic -Wall -Wextra -Werror "-I$2/usr/include" "${@:5}" "$3" \
        -o "$4" "-L$2/usr/lib" -lshmlock -pthread -ldl
}
cpp_of() { case $1 in cc) echo c++ ;; *) echo "${1%gcc}g++" ;; esac }

# output_is_expected SOURCE COMMAND...: the output is as the head of the source says.
output_is_expected() {
    diff <(sed -n '/Expected output\|Prints:/,/\*\//s/^     //p' "$1") \
        <(timeout --kill-after=5 60 "${@:2}") || die "$1 printed something else"
}

# count_in FILE EXPECTED COMMAND...: each command counts in the file, at the same time.
count_in() {
    local file=$1 expected=$2 command words running=()
    shift 2
    rm -f "$file"
    for command in "$@"; do
        read -ra words <<<"$command"
        "${words[@]}" &
        running+=($!)
    done
    for command in "${running[@]}"; do wait "$command" || die "a program failed, see above"; done
    [ "$(cat "$file")" = "$expected" ] || die "$(cat "$file") of $expected increments counted"
    echo "$# programs together, $expected increments, nothing lost"
}

# loses_by_name FILE COMMAND...: the control. Two of `named_counter` without the lock lose
# increments within some rounds.
loses_by_name() {
    local file=$1 round other
    shift
    for ((round = 1; round <= 50; round++)); do
        rm -f "$file"
        "$@" "$file" 2000 --no-lock &
        other=$!
        if ! "$@" "$file" 2000 --no-lock || ! wait "$other"; then
            die "a program failed, see above"
        fi
        [ "$(cat "$file")" = 4000 ] || break
    done
    [ "$round" -le 50 ] || die "50 rounds without the lock lost nothing: the test proves nothing"
    echo "without the lock: $(cat "$file") of 4000 counted"
}
