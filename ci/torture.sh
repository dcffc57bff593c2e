#!/usr/bin/env bash
# Proves: processes that use some locks at random, and are killed a thousand times a minute, stopped, and starved
# meanwhile, never meet in a section, are never stuck, are told of each death, and leave nothing behind.
# Arguments: seconds (60), and a seed whose plans are to be repeated. tests/src/bin/torture/main.rs says more.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

cargo build --quiet --release -p shmlock-tests --bin torture
target=${CARGO_TARGET_DIR:-target}

# In a /dev/shm of its own where that is allowed: then it can also be seen that no byte lock of anybody is left.
alone='mount -t tmpfs tmpfs /dev/shm && exec "$@"'
for way in "--mount" "--mount --map-root-user"; do
    read -ra flags <<<"$way"
    if unshare "${flags[@]}" bash -c "$alone" - true 2>/dev/null; then
        exec unshare "${flags[@]}" bash -c "$alone" - "$target/release/torture" "$@"
    fi
done
echo "no /dev/shm of its own to be had: using the common one"
exec "$target/release/torture" "$@"
