#!/usr/bin/env bash
# wheels.sh [ARCHITECTURE...]: makes the wheels of x86_64, aarch64 and armv7l, or of these
# architectures, and the source distribution.
# Proves: they need only what manylinux2014 and Python 3.10 have; the source distribution builds
# outside the repository; pip installs each wheel, which then passes the old package's tests and
# ours: with the oldest Python here, with Debian's newest one, and on ARM under an emulator. A
# quarter of an hour, and ten minutes more for each root the first time: not among the jobs of
# all.sh.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. cross-tests/lib.sh
architectures=("$@")
[ $# -gt 0 ] || architectures=(x86_64 aarch64 armv7l)

[ "$(uname -m)" = x86_64 ] || skip "wheels are made on x86_64"
step "build and audit" bash packaging/wheels.sh "${architectures[@]}"
[ "$failed$skipped" = 00 ] || end
[[ " ${architectures[*]} " != *" x86_64 "* ]] ||
    step "Python of this machine: installed, tested" bash packaging/try_wheel.sh here
for architecture in "${architectures[@]}"; do
    # An older kernel cannot register an emulator, see packaging/lib/roots.sh.
    step "$architecture: installed, tested" bash packaging/try_wheel.sh "$architecture"
done
end
