#!/usr/bin/env bash
# Prints a line for each ARM Linux target and each lock: its name, and the instructions of one
# acquire and one release together. For ci/instructions.sh, which compares them.
set -euo pipefail
. "$(dirname "$0")/../../ci/lib/common.sh"
. cross-tests/lib.sh
. cross-tests/probes/counted.sh
. cross-tests/probes/count_linux.sh

# Without the table of steps.
step() { "${@:2}" >&2; }

use_linux >&2 || skip "no emulator, see above"
for row in "aarch64-lse|aarch64-unknown-linux-gnu|max" \
    "aarch64-pairs|aarch64-unknown-linux-gnu|cortex-a53" \
    "armv7|armv7-unknown-linux-gnueabihf|cortex-a15"; do
    IFS='|' read -r name target cpu <<<"$row"
    qemu=$(emulator "$target")
    for lock in shmlock mutex; do
        file=$linux_dir/$target/release/$lock
        count=$(QEMU_CPU=$cpu counted "$file" \
            "$qemu" "$(one_instruction_per_block "$qemu")" "${log[@]}" "$file")
        echo "${lock/mutex/glibc-mutex}-$name $((count))"
    done
done
