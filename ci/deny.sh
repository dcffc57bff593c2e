#!/usr/bin/env bash
# Proves: no dependency has a known vulnerability, a licence that is not allowed or a second
# version, and all come from crates.io; nothing but the lock over machines has its dependencies.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# of_fleet OPTION...: prints the crates of the fleet that a crate depends on, and their number.
fleet='^(shmlock-fleet|base64|http|ring|rustls|ureq|ureq-proto|webpki-roots)$'
of_fleet() {
    local tree
    tree=$(cargo tree --quiet --edges normal,build --prefix none "$@")
    awk -v fleet="$fleet" '$1 ~ fleet && !seen[$1]++ { printf "%s ", $1; n++ }
        END { print n + 0 }' <<<"$tree"
}

# The default builds of the library, of the program and for other languages have none of them. The
# control: the fleet has all.
found=$(of_fleet --package shmlock-fleet --all-features)
[[ $found == *" 8" ]] || die "the fleet has other crates than the list in this script: $found"
for crate in "--package "{shmlock,shmlock-cli,shmlock-ffi} "--manifest-path python/Cargo.toml"; do
    # shellcheck disable=SC2086 # two words
    found=$(of_fleet $crate)
    [ "$found" = 0 ] || die "the default build of ${crate#* } has dependencies of the fleet: $found"
done

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
