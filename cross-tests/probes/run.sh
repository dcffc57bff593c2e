#!/usr/bin/env bash
# Proves: the machine code has every necessary barrier, and each is strong enough, on every kind of
# core. With --mutate: the check detects the removal of each fence from a copy of core, except those
# of the roll and of the ticket lock.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/../../ci/lib/common.sh"
. cross-tests/lib.sh
. cross-tests/probes/listing.sh

# check SOURCES ARCHITECTURE TARGET [FEATURE]: builds the probes from these sources and checks their
# machine code.
check() { checked "$1" "$2" "$3" "${4:-}"; }

use_checker
if [ "${1:-}" = --mutate ]; then
    # Some fences of the roll and of the ticket lock order nothing that its probe does after them
    # (ci/litmus.sh knows these).
    unprobed='core/src/(roll|ticket)/[a-z]*\.rs'
    . cross-tests/probes/mutate.sh
else
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC2086 # words
        step "probes, ${kind#* }" check "$PWD" $kind
    done
fi
end
