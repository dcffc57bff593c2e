#!/usr/bin/env bash
# run.sh OPTION...: installs etcd, and measures the lock over machines beside `etcdctl lock` and
# beside the bare requests. bench/fleet/src/main.rs has the options.
set -euo pipefail
. "$(dirname "$0")/../../ci/lib/common.sh"
. ci/lib/etcd.sh

cargo build --quiet --release -p shmlock-cli --features fleet
exec cargo run --quiet --release -p shmlock-fleet-bench -- \
    --program "${CARGO_TARGET_DIR:-target}/release/shmlock" "$@"
