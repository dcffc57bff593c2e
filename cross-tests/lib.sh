# Sourced after ci/lib/common.sh: installs tools, sets linkers for bare metal, runs steps and prints
# their table.
# shellcheck shell=bash

# needs PROGRAM PACKAGE ...: installs the packages of missing programs, if permitted.
needs() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
    [ "$(id -u)" = 0 ] || apt=(sudo -n "${apt[@]}")
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        { "${apt[@]}" update &&
            "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; } ||
        skip "needs ${missing[*]}; install them, or run this as root on a Debian system"
}

# bare_targets TARGET...: sets a compiler and the GNU linkers. (Debian's Rust has no linker of its
# own.)
bare_targets() {
    . ci/lib/bare_metal.sh
    needs aarch64-linux-gnu-objdump binutils-aarch64-linux-gnu \
        arm-none-eabi-objdump binutils-arm-none-eabi
    use_bare_targets "$@"
    local target name linker
    for target in "$@"; do
        name=$(tr 'a-z.-' 'A-Z__' <<<"$target")
        linker=$(gnu_prefix "$target")ld
        export "CARGO_TARGET_${name}_LINKER=$linker" \
            "CARGO_TARGET_${name}_RUSTFLAGS=-C linker-flavor=ld"
    done
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/bare
}

# gnu_prefix TARGET: prints the prefix of its GNU tools.
gnu_prefix() {
    case $1 in aarch64-*) echo aarch64-linux-gnu- ;; *) echo arm-none-eabi- ;; esac
}

# one_instruction_per_block QEMU: prints the option to translate each instruction separately.
one_instruction_per_block() {
    if [[ $("$1" -help) = *one-insn-per-tb* ]]; then
        case $1 in
            *system*) echo -accel tcg,one-insn-per-tb=on,thread=multi ;;
            *) echo -one-insn-per-tb ;;
        esac
    else
        echo -singlestep
    fi
}

table='' failed=0 passed=0 skipped=0

# seconds_since EPOCHREALTIME: prints the seconds since then.
seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# step NAME COMMAND...: runs it and records its result and its time. A command that waits for an
# earlier background job sets the time in `took`. A failure does not stop the script. A step that is
# skipped fails on a hosted runner, because there nothing may be missing.
step() {
    local name=$1 verdict=ok begun=$EPOCHREALTIME took='' status=0
    shift
    printf -- '--- %s\n' "$name"
    "$@" </dev/null || status=$?
    case $status${GITHUB_ACTIONS:+ hosted} in
        0*) passed=1 ;;
        77) verdict="skipped, see above" skipped=1 ;;
        *) verdict="FAILED ($status)" failed=1 ;;
    esac
    [ -n "$took" ] || took=$(seconds_since "$begun")
    table+=$(printf '%-44s %6s s  %s' "$name" "$took" "$verdict")$'\n'
}

# timed FILE COMMAND...: runs it and writes its time to FILE.
timed() {
    local file=$1 begun=$EPOCHREALTIME status=0
    "${@:2}" || status=$?
    seconds_since "$begun" >"$file"
    return "$status"
}

# end: prints the table and exits. A caller of several scripts collects the tables in
# $SHMLOCK_STEPS.
end() {
    printf '\n%s' "$table"
    [ -z "${SHMLOCK_STEPS:-}" ] || printf '%s' "$table" >>"$SHMLOCK_STEPS"
    [ "$failed$passed$skipped" != 001 ] || exit 77
    exit "$failed"
}
