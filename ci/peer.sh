#!/usr/bin/env bash
# Proves: the frozen peer, written in C from PROTOCOL.md alone, and this implementation share locks
# and recover from each other's deaths. The suite runs for some seconds; this runs for 30 s, or the
# first argument, with an optimised build.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

command -v cc >/dev/null || skip "no C compiler; install one, as the package gcc"
export SHMLOCK_PEER_SECONDS=${1:-30}
cargo test --release -p shmlock-tests --test frozen_peer -- --nocapture
