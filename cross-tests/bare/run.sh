#!/usr/bin/env bash
# Proves: the shared test bodies pass on cores without an operating system, in parallel and under
# preemption; and on each machine the same test detects a broken lock.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../../ci/lib/common.sh"
. cross-tests/bare/machine.sh
use_machines

# parallel NAME TARGET MACHINE FEATURE QEMU...: runs on parallel cores. With one instruction per
# block, the control fails sooner.
parallel() {
    local name=$1
    step "$name: build" build "$2" "$3" "$4"
    set -- "${@:5}" -kernel "$(program "$2" "$4")"
    step "$name: test" emulate "test 10000" "$@" -accel tcg,thread=multi
    # shellcheck disable=SC2046 # an option and its value
    step "$name: control" emulate "control 100000 200" "$@" $(one_instruction_per_block "$1")
}

# preempted NAME TARGET MACHINE QEMU...: runs on one core with counted instructions; the second run
# must equal the first.
preempted() {
    local name=$1
    step "$name: build" build "$2" "$3"
    set -- "${@:4}" -kernel "$(program "$2")" -icount shift=5
    step "$name: test, twice" twice_the_same "test 40000" "$@"
    step "$name: control, twice" twice_the_same "control 100000 50" "$@"
}

twice_the_same() {
    local first second
    first=$(emulate "$@") && second=$(emulate "$@") && echo "$first" && [ "$first" = "$second" ]
}

virt64=(qemu-system-aarch64 -M virt -smp 4 -m 64 -cpu)
parallel "4 x Cortex-A57, exclusive pairs" aarch64-unknown-none virt64 "" \
    "${virt64[@]}" cortex-a57
parallel "4 x Cortex-A76, LSE" aarch64-unknown-none virt64 +lse "${virt64[@]}" cortex-a76
parallel "4 x Cortex-A15" armv7a-none-eabi virt32 "" \
    qemu-system-arm -M virt -smp 4 -m 64 -cpu cortex-a15
parallel "2 x Cortex-M33" thumbv8m.main-none-eabi an521 "" qemu-system-arm -M mps2-an521
preempted "1 x Cortex-M3, 2 tasks" thumbv7m-none-eabi an385 qemu-system-arm -M mps2-an385
preempted "1 x Cortex-M0, 2 tasks" thumbv6m-none-eabi microbit qemu-system-arm -M microbit
end
