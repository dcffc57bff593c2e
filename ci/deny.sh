#!/usr/bin/env bash
# Proves: no dependency has a known hole, an unwelcome licence or a second version of itself, and all come from Cargo's
# own registry.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

PATH=$PATH:$cache/tools/bin
# Built without optimisation: it runs for a second.
command -v cargo-deny >/dev/null ||
    cargo install --quiet --locked --debug --root "$cache/tools" cargo-deny ||
    skip "cargo-deny is neither installed nor installable"

checks=(bans licenses sources)
if timeout 60 cargo deny fetch db; then
    checks+=(advisories)
else
    echo "advisory database out of reach: checking ${checks[*]} only"
fi
cargo deny check "${checks[@]}"
