# Sourced: counts the instructions of an acquire and a release, under an emulator that logs each
# instruction.
# shellcheck shell=bash

# Log each instruction.
# shellcheck disable=SC2034 # for the scripts that source this file
log=(-d 'exec,nochain')

# counted PROGRAM COMMAND...: prints the instructions of one acquire and one release as `N + N`,
# from the command's log. count.awk finds the calls by the addresses of three functions. `pair`
# is the end of their names, empty unless set.
counted() {
    local program=$1 prefix=aarch64-linux-gnu- address size name end=${pair:-}
    local acquire release caller size_of_caller
    [ "$(od -An -tu1 -j4 -N1 "$program")" -eq 2 ] || prefix=arm-none-eabi-
    while read -r address size _ name; do
        case $name in
            "cost_acquire$end") acquire=$address ;;
            "cost_release$end") release=$address ;;
            "cost_caller$end") caller=$address size_of_caller=$size ;;
        esac
    done < <("${prefix}nm" -S "$program")
    # As strings of equal length, which awk orders like the numbers.
    "${@:2}" 2>&1 >/dev/null | LC_ALL=C awk -f cross-tests/probes/count.awk \
        -v "acquire=$(text "16#$acquire")" -v "release=$(text "16#$release")" \
        -v "caller=$(text "16#$caller")" -v "caller_end=$(text "16#$caller + 16#$size_of_caller")"
}
text() { printf 'x%08x' "$(($1))"; }
