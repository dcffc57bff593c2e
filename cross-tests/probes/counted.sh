# Sourced after cross-tests/lib.sh: counts the instructions of one acquire and one release under an
# emulator that logs each.
# shellcheck shell=bash

# Log each instruction.
log=(-d 'exec,nochain')

# counted PROGRAM COMMAND...: prints the instructions of one acquire and one release as `N + N`,
# from the command's log. count.awk finds the calls by the addresses of three functions.
counted() {
    local program=$1 prefix=aarch64-linux-gnu- address size name
    local acquire release caller size_of_caller
    [ "$(od -An -tu1 -j4 -N1 "$program")" -eq 2 ] || prefix=arm-none-eabi-
    while read -r address size _ name; do
        case $name in
            cost_acquire) acquire=$address ;;
            cost_release) release=$address ;;
            cost_caller) caller=$address size_of_caller=$size ;;
        esac
    done < <("${prefix}nm" -S "$program")
    # As strings of equal length, which awk orders like the numbers.
    "${@:2}" 2>&1 >/dev/null | LC_ALL=C awk -f cross-tests/probes/count.awk \
        -v "acquire=$(text "16#$acquire")" -v "release=$(text "16#$release")" \
        -v "caller=$(text "16#$caller")" -v "caller_end=$(text "16#$caller + 16#$size_of_caller")"
}
text() { printf 'x%08x' "$(($1))"; }
