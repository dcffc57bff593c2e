#!/usr/bin/env bash
# Proves: the lock over machines excludes, loses and recovers as documented, with real members of
# etcd and a fenced store as judge; also with TLS compiled in. Installs etcd from Debian.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# Debian's package would start a service, which no test needs: policy-rc.d(8) forbids it for the
# time of the installation, unless there is such a policy already.
policy=/usr/sbin/policy-rc.d
install_etcd() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' RETURN
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get install -qq -y etcd-server etcd-client >/dev/null ||
        { apt-get update -qq && apt-get install -qq -y etcd-server etcd-client >/dev/null; }
}
{ command -v etcd && command -v etcdctl; } >/dev/null || install_etcd ||
    skip "the programs etcd and etcdctl are neither installed nor installable"

exec </dev/null # no test may read from a terminal
cargo test -p shmlock-fleet
cargo test -p shmlock-fleet --all-features --test fleet
