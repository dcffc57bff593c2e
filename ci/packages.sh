#!/usr/bin/env bash
# packages.sh [ARCHITECTURE...]: makes the Debian packages of amd64, arm64 and armhf, or of these
# architectures.
# Proves: lintian has no remark on them, and each can be installed into a fresh Debian, used there,
# and removed without a trace: amd64 on this processor, the others under an emulator.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. cross-tests/lib.sh
architectures=("$@")
[ $# -gt 0 ] || architectures=(amd64 arm64 armhf)
packages=${CARGO_TARGET_DIR:-target}/packages/deb

# An older kernel cannot register an emulator, see packaging/try.sh. Nothing may be missing on a
# hosted runner.
try() {
    local status=0
    bash packaging/try.sh "$1" || status=$?
    [ "$status" != 77 ] || [ -n "${GITHUB_ACTIONS:-}" ] || return 0
    return "$status"
}

# Remarks that are wrong here have an override with its reason, in packaging/debian.
remarks() {
    needs lintian lintian
    lintian --allow-root --profile debian --display-info --pedantic \
        --fail-on error,warning,info,pedantic "$packages"/*.deb
}

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] ||
    skip "packages are made on a Debian or Ubuntu for amd64"
step "build and pack" bash packaging/build.sh "${architectures[@]}"
[ "$failed" = 0 ] || end
step "lintian" remarks
for architecture in "${architectures[@]}"; do
    step "$architecture: installed, used, removed" try "$architecture"
done
end
