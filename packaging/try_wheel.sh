#!/usr/bin/env bash
# try_wheel.sh ARCHITECTURE: installs the wheel of x86_64, aarch64 or armv7l into a Debian of that
# architecture, and runs the old package's tests and those of python/ there. try_wheel.sh here: does
# the same with the oldest Python of this machine, and with its free-threaded ones.
#
# lib/roots.sh has the Debian. Debian 12 has Python 3.11; for x86_64 it is the next release, with
# the newest Python. Where each instruction is emulated, what takes long and shows nothing about a
# processor is left out: the tests of 4.4.4, which are nearly those of 5.0.1, the examples of pages,
# counting beside killed old programs, and most rounds of interrupts.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. ci/lib/python.sh
. cross-tests/linux.sh
. packaging/lib/roots.sh

tools=python3-pytest,python3-pip-whl
declare -A contents=(
    [x86_64]="amd64 forky python3.15 $tools"
    [aarch64]="arm64 bookworm python3.11 $tools"
    [armv7l]="armhf bookworm python3.11 $tools"
)

# use_root ARCHITECTURE EMULATOR ROOT WORK PYTHON: inside the namespaces.
use_root() {
    mount_root "${@:1:4}"
    cp -r "$4/inside" "$4/root/tmp/"
    chroot "$4/root" env -i HOME=/tmp PATH=/usr/bin:/bin LC_ALL=C.UTF-8 \
        bash /tmp/inside/use_wheel.sh "/usr/bin/$5" /tmp/inside
}

case $1 in
    --make | --use)
        "${1#--}_root" "${@:2}"
        exit
        ;;
    here) architecture=x86_64 ;;
    *) architecture=$1 ;;
esac
[ -n "${contents[$architecture]:-}" ] ||
    die "no wheel is made for $1; x86_64, aarch64 and armv7l are known"

# lay_out TAG: puts into WORK/inside what the tests need, with the wheel of this tag.
lay_out() {
    local version wheels=${CARGO_TARGET_DIR:-target}/packages/wheels wheel
    wheel=$(find "$wheels" -name "*-$1-*_$architecture.whl" -print -quit 2>/dev/null)
    [ -n "$wheel" ] || die "no wheel of $architecture is in $wheels; run packaging/wheels.sh"
    rm -rf "$work/inside"
    mkdir -p "$work/inside/python" "$work/inside/docs"
    cp "$wheel" packaging/use_wheel.sh "$work/inside/"
    cp -r python/tests python/README.md "$work/inside/python/"
    cp docs/from-python.md "$work/inside/docs/"
    for version in 5.0.1 4.4.4; do
        cp -r "$(old_package "${pythons[-1]}" $version)" "$work/inside/" ||
            skip "the source distribution of shmlock $version is not on PyPI"
    done
}

if [ "$1" = here ]; then
    needs_python
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mapfile -t free_threaded < <(free_threaded_pythons)
    for python in "${pythons[0]}" "${free_threaded[@]}"; do
        tag=abi3 place=$(environment "$python" 'pytest==9.2.0') ||
            skip "pytest is not installable for $python"
        [ "$python" = "${pythons[0]}" ] ||
            tag=$("$python" -c 'import sys; print("cp3%dt" % sys.version_info.minor)')
        lay_out "$tag"
        bash "$work/inside/use_wheel.sh" "$place/bin/python" "$work/inside"
    done
    exit
fi

as_root packaging/try_wheel.sh "$@"
read -r debian suite python packages <<<"${contents[$1]}"
find_root packaging/try_wheel.sh "$debian" "$suite" essential "$python,$packages"
needs_python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lay_out abi3
in_namespaces --net bash packaging/try_wheel.sh --use "$debian" "$qemu" "$root" "$work" "$python"
