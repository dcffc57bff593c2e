#!/usr/bin/env bash
# Proves: processes of this machine, of aarch64 and of armv7 share one lock by name at the same
# time. The ARM processes run under user-mode emulators, which pass system calls to this machine's
# kernel.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
use_linux_targets
host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
SHMLOCK_ACTORS=
for target in "${arm_linux[@]}"; do
    [ "$target" != "$host" ] || continue
    step "actor for $target" cargo test --quiet "${arm_suite[@]}" --no-run --target "$target"
    qemu=$(emulator "$target") ||
        skip "no user-mode emulator for $target: install qemu-user-static"
    SHMLOCK_ACTORS+=,${target%%-*}="$qemu $CARGO_TARGET_DIR/$target/debug/actor"
done
export SHMLOCK_ACTORS=${SHMLOCK_ACTORS#,}
# With --target, the build does not overwrite that of ci/test.sh, which has other options.
mixed=(cargo test --quiet -p shmlock-tests --test mixed_processors --target "$host")
step "build for $host" "${mixed[@]}" --no-run
step "$host and the others" "${mixed[@]}" -- --test-threads=1 --nocapture
end
