# Sourced after common.sh by scripts that run etcd: installs it from Debian, or skips the job. The
# certificates of the tests with TLS need openssl, which is installed as well if it can be.
# shellcheck shell=bash

# Debian's package would start a service, which no test needs: policy-rc.d(8) forbids it for the
# time of the installation, unless there is such a policy already.
install_etcd() {
    local policy=/usr/sbin/policy-rc.d
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    if [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064 # the path is known now, and local
        trap "rm -f $policy; trap - RETURN" RETURN
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get install -qq -y etcd-server etcd-client >/dev/null ||
        { apt-get update -qq && apt-get install -qq -y etcd-server etcd-client >/dev/null; }
}

{ command -v etcd && command -v etcdctl; } >/dev/null || install_etcd ||
    skip "the programs etcd and etcdctl are neither installed nor installable"

command -v openssl >/dev/null || [ "$(id -u)" != 0 ] || apt-get install -qq -y openssl >/dev/null ||
    echo "the program openssl is not installable: the tests with TLS are skipped" >&2
