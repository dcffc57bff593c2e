#!/usr/bin/env bash
# Proves: no dependency has a known vulnerability, a licence that is not allowed or a second
# version, and all come from crates.io.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

PATH=$PATH:$cache/tools/bin
# Built without optimisation: it runs for a second only.
command -v cargo-deny >/dev/null ||
    cargo install --quiet --locked --debug --root "$cache/tools" cargo-deny ||
    skip "cargo-deny is neither installed nor installable"

checks=(bans licenses sources)
if timeout 60 cargo deny fetch db; then
    checks+=(advisories)
else
    echo "cannot fetch the advisory database: checking ${checks[*]} only"
fi
cargo deny check --allow license-exception-not-encountered "${checks[@]}"
cargo deny --manifest-path python/Cargo.toml --config deny.toml check --allow unmatched-skip \
    "${checks[@]}"
