#!/usr/bin/env bash
# Proves: the core takes no more flash and RAM, and its undisturbed pair no more instructions, than
# ci/core_size.txt says; and the table in core/README.md is of these numbers.
# `core_size.sh --update` writes both. Commit a number that has shrunk, so that it cannot grow
# again.
#
# Flash: the bytes of code and constants of small programs (cross-tests/size), linked with all
# that they call, the compiler's own functions included. Each number is the difference of two
# programs. opt-level "s", fat LTO. The other locks in the table are measured in the same run.
#
# Instructions: executed from the first one of a function around the call until its caller
# continues, in an emulator that logs each (cross-tests/bare/src/cost.rs). The hundredth call
# counts. opt-level "s" is with fat LTO, opt-level 3 without. Both have one codegen unit: with
# several, their order depends on the path of the tree, and the numbers with it.
#
# Compilers differ, so numbers are compared for one compiler version only.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. cross-tests/bare/machine.sh
. cross-tests/probes/counted.sh

file=ci/core_size.txt readme=core/README.md
targets=(thumbv6m-none-eabi thumbv7em-none-eabi thumbv8m.main-none-eabi aarch64-unknown-none)

# measure PROGRAM KEY: stores its flash, and the RAM of its statics.
declare -A flash ram now
measure() {
    local path=$1 key=$2 section type size flags name
    flash[$key]=0 ram[$key]=0
    while read -r section type size flags; do
        case $section-$type-$flags in
            .text*-PROGBITS-*A* | .rodata*-PROGBITS-*A* | .data*-PROGBITS-*A*)
                flash[$key]=$((${flash[$key]} + 16#$size))
                ;;
        esac
    done < <(readelf -SW "$path" | sed -n 's/^ *\[ *[0-9]*\] *//p' | awk '{ print $1, $2, $5, $7 }')
    # By symbol: a section is padded.
    while read -r size name; do
        case $name in
            *MEMORY* | *HANDLE* | *LOCK*) ram[$key]=$((${ram[$key]} + size)) ;;
        esac
    done < <(readelf -sW "$path" | awk '$4 == "OBJECT" { print $3, $8 }')
}

measure_all() {
    local target path program
    for target in "${targets[@]}"; do
        cargo build --locked --quiet --release --manifest-path cross-tests/size/Cargo.toml \
            --target "$target" --bins || return
        for path in cross-tests/size/src/bin/*.rs; do
            program=$(basename "$path" .rs)
            measure "$CARGO_TARGET_DIR/$target/release/$program" "$target/$program"
        done
    done
}

# The rows of the table: key, program, the program that is subtracted, text.
rows=(
    "attach|attach|nothing|attach to a region"
    "try_lock|acquire|attach|\`try_lock\`"
    "release|pair|acquire|release"
    "lock|wait|attach|\`lock\` with a bounded wait, and release"
    "record|record|wait|describe the owner"
    "holder|holder|wait|read the owner and its record"
    "ticket-try_lock|ticket_pair|nothing|\`TicketLock\` of three: attach, \`try_lock\`, release"
    "ticket-lock|ticket_wait|nothing|the same: attach, \`lock\`, release"
    "spin-try_lock|spin_pair|nothing|\`spin\`: \`try_lock\` and release"
    "spin-lock|spin_wait|nothing|\`spin\`: \`lock\` and release"
    "masked-spin-try_lock|masked_spin_pair|nothing|the same in a \`critical-section\`: \`try_lock\`"
    "masked-spin-lock|masked_spin_wait|nothing|the same in a \`critical-section\`: \`lock\`"
    "embassy-try_lock|embassy_pair|nothing|\`embassy-sync\`: \`try_lock\` and release"
    "embassy-lock|embassy_wait|nothing|\`embassy-sync\`: \`lock\`, polled, and release"
)

# The cores whose instructions are counted: name, target, machine, processor feature, emulator.
cores=(
    "aarch64-lse|aarch64-unknown-none|virt64|+lse|qemu-system-aarch64 -M virt -m 64 -cpu cortex-a76"
    "aarch64-pairs|aarch64-unknown-none|virt64||qemu-system-aarch64 -M virt -m 64 -cpu cortex-a57"
    "cortex-m33|thumbv8m.main-none-eabi|an521||qemu-system-arm -M mps2-an521"
    "cortex-m3|thumbv7m-none-eabi|an385||qemu-system-arm -M mps2-an385"
    "cortex-m0|thumbv6m-none-eabi|microbit||qemu-system-arm -M microbit"
)

# note KEY NUMBER: stores a number to be compared.
keys=()
note() { keys+=("$1") now[$1]=$2; }

# note_sizes: stores the sizes, and makes the lines of the table.
table=''
note_sizes() {
    local row key program less text target line bytes
    for row in "${rows[@]}"; do
        IFS='|' read -r key program less text <<<"$row"
        line="| $text"
        for target in "${targets[@]}"; do
            bytes=$((${flash[$target/$program]} - ${flash[$target/$less]}))
            line+=" | $bytes"
            # The other locks are for the eye.
            case $key in
                spin-* | masked-* | embassy-*) ;;
                *) note "flash $target $key" "$bytes" ;;
            esac
        done
        table+="$line |"$'\n'
    done
    for row in "region and handle|ram" "\`TicketLock\` of three, and handle|ticket_ram" \
        "\`spin::Mutex\`|spin_pair" "\`embassy_sync::Mutex\`|embassy_pair"; do
        IFS='|' read -r text program <<<"$row"
        line="| RAM: $text"
        for target in "${targets[@]}"; do
            line+=" | ${ram[$target/$program]}"
            case $program in
                ram) note "ram $target" "${ram[$target/ram]}" ;;
                ticket_ram) note "ticket-ram $target" "${ram[$target/ticket_ram]}" ;;
            esac
        done
        table+="$line |"$'\n'
    done
}

# count NAME TARGET MACHINE FEATURE QEMU...: counts the pairs, in both builds.
count() {
    local level program kind counts
    export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
    for level in 3 s; do
        export CARGO_PROFILE_RELEASE_OPT_LEVEL=$level CARGO_PROFILE_RELEASE_LTO=false
        [ $level != s ] || CARGO_PROFILE_RELEASE_LTO=fat
        build "$2" "$3" "$4"
        program=$(program "$2" "$4")
        for kind in guard acquire-release ticket; do
            case $kind in
                guard) pair='' ;;
                acquire-release) pair=_unguarded ;;
                ticket) pair=_ticket ;;
            esac
            # shellcheck disable=SC2046 # an option and its value
            counts=$(counted "$program" emulate cost "${@:5}" \
                $(one_instruction_per_block "$5") "${log[@]}" -kernel "$program") ||
                die "the instructions of $1, $kind, cannot be counted: $counts"
            note "instructions $1 $kind opt-level=$level" $((counts))
            echo "$1, $kind, opt-level $level: $counts"
        done
    done
    unset CARGO_PROFILE_RELEASE_{OPT_LEVEL,LTO,CODEGEN_UNITS}
}

entry() { sed -n "s/^$1 //p" $file; }

needs qemu-system-arm qemu-system-arm qemu-system-aarch64 qemu-system-arm readelf binutils
bare_targets "${targets[@]}" thumbv7m-none-eabi
measure_all
note_sizes
for core in "${cores[@]}"; do
    IFS='|' read -r name target machine feature command <<<"$core"
    # shellcheck disable=SC2086 # words
    count "$name" "$target" "$machine" "$feature" $command
done

# The minor version: patch releases do not change code generation.
rustc=$(rustc --version | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
# In percent: a change elsewhere moves a few bytes.
slack=$(entry slack)
slack=${slack:-1}

grown=0 shrunk=0
printf '%-52s %8s %8s\n' "bytes, and instructions of acquire and release" now before
for key in "${keys[@]}"; do
    before=$(entry "$key")
    verdict=''
    if [ -z "$before" ]; then
        verdict="new" shrunk=1
    elif [ "${now[$key]}" -gt $((before + before * slack / 100)) ]; then
        verdict="GROWN by $((${now[$key]} - before))" grown=1
    elif [ "${now[$key]}" -lt "$before" ]; then
        verdict="shrunk by $((before - ${now[$key]}))" shrunk=1
    fi
    printf '%-52s %8d %8s  %s\n' "$key" "${now[$key]}" "${before:--}" "$verdict"
done
printf '\n%s' "$table"

if [ "${1:-}" = --update ]; then
    {
        sed -n '/^#/p' $file
        printf 'rustc %s\nslack %d\n' "$rustc" "$slack"
        for key in "${keys[@]}"; do echo "$key ${now[$key]}"; done
    } >"$file.new"
    mv "$file.new" $file
    # The lines between the head of the table and the next empty line.
    TABLE=$table awk '/^\|---.*:\|$/ { print; printf "%s", ENVIRON["TABLE"]; skip = 1; next }
        !/^\|/ { skip = 0 } !skip' $readme >"$readme.new"
    mv "$readme.new" $readme
    echo "written to $file and $readme"
    exit
fi
[ "$rustc" = "$(entry rustc)" ] ||
    skip "not compared: rustc is $rustc, $file is of $(entry rustc)"
[ $shrunk = 0 ] || echo "some are less, or new: run ci/core_size.sh --update and commit $file"
[ $grown = 0 ] || die "something has grown by more than $slack %; if it must," \
    "run ci/core_size.sh --update and state the reason in the commit"
while read -r line; do
    grep -Fxq "$line" $readme || die "$readme has another line than \`$line\`:" \
        "run ci/core_size.sh --update"
done <<<"${table%$'\n'}"
