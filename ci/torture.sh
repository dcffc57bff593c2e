#!/usr/bin/env bash
# Proves: processes that use locks at random, and are killed a thousand times a minute, stopped and
# starved, never share a critical section, never hang, learn of each death, and leave nothing
# behind. Arguments: seconds (60), and a seed to repeat its plans. See
# tests/src/bin/torture/main.rs.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo build --quiet --release -p shmlock-tests --bin torture
target=${CARGO_TARGET_DIR:-target}

# In a private /dev/shm if permitted: then it also checks that no byte lock is left.
alone='mount -t tmpfs tmpfs /dev/shm && exec "$@"'
for way in "--mount" "--mount --map-root-user"; do
    read -ra flags <<<"$way"
    if unshare "${flags[@]}" bash -c "$alone" - true 2>/dev/null; then
        exec unshare "${flags[@]}" bash -c "$alone" - "$target/release/torture" "$@"
    fi
done
echo "cannot mount a private /dev/shm: using the common one"
exec "$target/release/torture" "$@"
