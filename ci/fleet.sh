#!/usr/bin/env bash
# Proves: the lock over machines excludes, loses and recovers as documented, with real members of
# etcd and a fenced store as judge; also with TLS compiled in, and by `shmlock run --fleet`. The
# commands of docs/fleet.md work (ci/fleet_page.sh). The demonstration's account is right, and finds
# the damage that a store without the fence takes. A torture of a minute finds no fault. Each mutant
# of ci/fleet_mutants.sh compiles. Installs etcd, openssl and libfaketime from Debian.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/etcd.sh

exec </dev/null # no test may read from a terminal
# For the test that sets the time of day, which skips without it.
[ "$(id -u)" != 0 ] || apt-get install -qq -y libfaketime >/dev/null || true
cargo test -p shmlock-fleet
# Only these depend on TLS.
cargo test -p shmlock-fleet --all-features --test fleet -- errors tls
# The program with `--fleet`; without it, ci/test.sh tests it.
cargo test -p shmlock-cli --features fleet --test cli -- fleet generated run hold
bash ci/fleet_torture.sh 60
bash ci/fleet_page.sh
# A mutant that changes nothing any more, or does not compile, would prove nothing.
bash ci/fleet_mutants.sh --check >/dev/null
# Counts requests, and fails if local contenders cost etcd anything.
cargo run --quiet -p shmlock-fleet-bench -- --only local
# Last: where there are no namespaces, it skips, and the rest has run.
bash fleet/demo.sh --seconds 30
