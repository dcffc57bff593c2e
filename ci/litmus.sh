#!/usr/bin/env bash
# Proves: under ARM's memory models, no program in cross-tests/litmus ends badly, and each that
# lacks one barrier does (docs/litmus.md); the outcomes are those of cross-tests/litmus/results.txt;
# and the accesses and barriers of these programs are those that the compiler emits for the probes
# of cross-tests/probes. The last needs no herd7.
# `litmus.sh --update` writes results.txt. With --mutate [PATTERN]: the comparison with the machine
# code notices the removal of each fence from a copy of core; PATTERN restricts it to some lines.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. cross-tests/linux.sh
. ci/lib/herd.sh
. cross-tests/probes/listing.sh

here=cross-tests/litmus
results=$here/results.txt update=${1:-}

# check SOURCES ARCHITECTURE TARGET [FEATURE]: compares the files for this kind of core with its
# machine code.
check() {
    local files
    case $2${4:-} in
        aarch64) files=("$here"/{aarch64,pairs}/*.litmus) ;;
        aarch64*) files=("$here"/{aarch64,lse}/*.litmus) ;;
        *) files=("$here"/armv7/*.litmus) ;;
    esac
    checked "$1" "$2" "$3" "${4:-}" "${files[@]}"
}

# programs DIRECTORY: writes all programs, and a line for each to DIRECTORY/list.
programs() {
    local file form
    for file in "$here"/*/*.litmus; do
        form=$(basename "$(dirname "$file")")
        awk -v directory="$1" -v form="$form" -f "$here/programs.awk" "$file" || return
    done >"$1/list"
}

# outcomes DIRECTORY: prints a line for each program: its name, the verdict, how many executions end
# badly and how many do not. Fails if a verdict is not the expected one.
outcomes() {
    local path expected name verdict bad good wrong=0
    while IFS=$'\t' read -r path expected name; do
        read -r verdict bad good < <(sed -nE 's/^Observation .* ([A-Z][a-z]+ [0-9 ]+)$/\1/p' \
            "$path.out") || { cat "$path.out" >&2 && return 1; }
        printf '%-36s %-9s %4d %4d\n' "$name" "$verdict" "$bad" "$good"
        [ "$expected" = - ] || [ "$expected" = "$verdict" ] || {
            echo "WRONG: $name is $verdict, not $expected" >&2
            wrong=1
        }
    done <"$1/list"
    return "$wrong"
}

# simulate: runs all programs and compares the outcomes with the table. In a shell of its own, so
# that a skip is one of this step.
simulate() (
    use_herd || skip "there is no herd7, and Debian's package herdtools7 cannot be unpacked"
    local work version recorded status=0
    version=$(herd_version)
    work=$(mktemp -d)
    programs "$work" || return
    # Without candidates that no model allows: not coherent, or a swap that is not atomic.
    herd+=(-optace true -variant OptRfRMW)
    # shellcheck disable=SC2016 # for the inner shell
    cut -f1 "$work/list" | xargs -P "$(nproc)" -I{} \
        sh -c 'out=$1 && shift && "$@" >"$out" 2>&1' - {}.out "${herd[@]}" {} || true
    {
        echo "# herd7 $version: bad executions and others of each program. ci/litmus.sh --update"
        outcomes "$work"
    } >"$work/results" || return
    rm -r "$work"/*.litmus*
    if [ "$update" = --update ]; then
        cp "$work/results" "$results"
    else
        recorded=$(sed -n '1s/^# herd7 \([0-9.]*\):.*/\1/p' "$results")
        if [ "$recorded" = "$version" ]; then
            diff -u "$results" "$work/results" || status=1
        else
            echo "herd7 $version, not $recorded: without the numbers of executions"
            diff -u <(without_numbers <"$results") <(without_numbers <"$work/results") || status=1
        fi
    fi
    awk '!/^#/ { verdicts[$(NF - 2)]++ }
        END { for (verdict in verdicts) printf "    %s: %d programs\n", verdict, verdicts[verdict] }
    ' "$work/results" | sort
    rm -r "$work"
    return "$status"
)

without_numbers() { sed '1d;s/ *[0-9]* *[0-9]*$//'; }

use_checker
if [ "$update" = --mutate ]; then
    only=${2:-}
    . cross-tests/probes/mutate.sh
else
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC2086 # words
        step "litmus files and code, ${kind#* }" check "$PWD" $kind
    done
    step "outcomes" simulate
fi
end
