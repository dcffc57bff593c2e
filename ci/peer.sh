#!/usr/bin/env bash
# Proves: the frozen peer, written in C from PROTOCOL.md alone, and this implementation share locks and recover each other
# under kills. The suite does so for some seconds; here it is half a minute, with an optimised build. Skipped without a C compiler.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

command -v cc >/dev/null || skip "no C compiler named cc"
SHMLOCK_PEER_SECONDS=${1:-30} cargo test --release -p shmlock-tests --test frozen_peer -- --nocapture
