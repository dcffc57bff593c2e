#!/usr/bin/env bash
# Proves: an uncontended acquire and release of this project's locks take no more instructions than
# those of the C library's robust mutex, and as many as the table in cross-tests/README.md says.
# The counts are exact and repeatable. `count.sh bare` omits Linux. It ends with a Markdown table.
# shellcheck disable=SC2317,SC2016 # `step` calls the functions; the backticks are Markdown's
set -euo pipefail
. "$(dirname "$0")/../../ci/lib/common.sh"
. cross-tests/bare/machine.sh
. cross-tests/probes/counted.sh
. cross-tests/probes/count_linux.sh

rows=''

# bare NAME TARGET MACHINE FEATURE QEMU...: adds a row to the table.
bare() {
    local count file
    build "$2" "$3" "$4" && file=$(program "$2" "$4") || return
    # shellcheck disable=SC2046 # an option and its value
    count=$(counted "$file" emulate cost "${@:5}" $(one_instruction_per_block "$5") "${log[@]}" \
        -kernel "$file") || return
    rows+="| $1 | $count | | | |"$'\n'
}

# as_documented: compares the rows with README.md, if its table is of this compiler.
as_documented() {
    local readme=cross-tests/README.md version row
    version=$(sed -n 's/.*rustc \([0-9.]*\) (another version.*/\1/p' "$readme")
    [[ $(rustc --version) = "rustc $version."* ]] ||
        { echo "README.md has rustc $version: not compared" && return; }
    while read -r row; do
        grep -Fq "${row%|*|*|}|" "$readme" ||
            { echo "README.md has another row than: $row" && return 1; }
    done <<<"${rows%$'\n'}"
}

on_linux=no
[ "${1:-}" = bare ] || ! use_linux || on_linux=yes
use_machines
virt=(-M virt -m 64 -cpu)
aarch64="qemu-system-aarch64 ${virt[*]}"
for row in "AArch64, LSE|aarch64-unknown-none|virt64|+lse|$aarch64 cortex-a76" \
    "AArch64, exclusive pairs|aarch64-unknown-none|virt64||$aarch64 cortex-a57" \
    "ARMv7-A|armv7a-none-eabi|virt32||qemu-system-arm ${virt[*]} cortex-a15" \
    "Cortex-M33|thumbv8m.main-none-eabi|an521||qemu-system-arm -M mps2-an521" \
    "Cortex-M3|thumbv7m-none-eabi|an385||qemu-system-arm -M mps2-an385" \
    "Cortex-M0|thumbv6m-none-eabi|microbit||qemu-system-arm -M microbit"; do
    IFS='|' read -r name target machine feature command <<<"$row"
    # shellcheck disable=SC2086 # words
    step "$name" bare "$name" "$target" "$machine" "$feature" $command
done
[ $on_linux = no ] || count_on_linux
header='| instructions, acquire + release | `RegionLock` | `ShmLock` | mutex | robust mutex |'
printf '\n%s\n|---|---|---|---|---|\n%s' "$header" "$rows"
step "the table in README.md" as_documented
end
