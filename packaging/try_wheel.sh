#!/usr/bin/env bash
# try_wheel.sh ARCHITECTURE: installs the wheel of x86_64, aarch64 or armv7l into a Debian of that
# architecture, and runs the old package's tests and those of python/ there. lib/roots.sh has the Debian.
#
# Debian 12 has Python 3.11. For x86_64 it is Debian's next release, with the newest Python. Where
# each instruction is emulated, tests that take minutes there or show nothing about a processor are
# left out; ci/python.sh runs all on this machine's.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. ci/lib/python.sh
. cross-tests/linux.sh
. packaging/lib/roots.sh

tools=python3-pytest,python3-pip-whl
declare -A contents=(
    [x86_64]="amd64 forky python3.15 $tools"
    [aarch64]="arm64 bookworm python3 $tools"
    [armv7l]="armhf bookworm python3 $tools"
)

# use_root ARCHITECTURE EMULATOR ROOT WORK: inside the namespaces. WORK has what the tests need.
use_root() {
    mount_root "$@"
    cp -r "$4/inside" "$4/root/tmp/"
    chroot "$4/root" env -i HOME=/tmp PATH=/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
        bash /tmp/inside/use_wheel.sh
}

case $1 in
    --make | --use)
        "${1#--}_root" "${@:2}"
        exit
        ;;
esac

as_root packaging/try_wheel.sh "$@"
[ -n "${contents[$1]:-}" ] || die "no wheel is made for $1; x86_64, aarch64 and armv7l are known"
read -r debian suite python packages <<<"${contents[$1]}"
find_root packaging/try_wheel.sh "$debian" "$suite" essential "$python,$packages"

wheels=${CARGO_TARGET_DIR:-target}/packages/wheels
wheel=$(find "$wheels" -name "*abi3*_$1.whl" -print -quit 2>/dev/null)
[ -n "$wheel" ] || die "no wheel of $1 is in $wheels; run packaging/wheels.sh $1"
needs_python

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/inside/python" "$work/inside/docs"
cp "$wheel" packaging/use_wheel.sh "$work/inside/"
cp -r python/tests python/README.md "$work/inside/python/"
cp docs/from-python.md "$work/inside/docs/"
for version in 5.0.1 4.4.4; do
    cp -r "$(old_package "${pythons[-1]}" $version)" "$work/inside/" ||
        skip "the source distribution of shmlock $version is not on PyPI"
done
in_namespaces --net bash packaging/try_wheel.sh --use "$debian" "$qemu" "$root" "$work"
