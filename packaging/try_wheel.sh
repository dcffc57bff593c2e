#!/usr/bin/env bash
# try_wheel.sh ARCHITECTURE: runs the tests of python/ and those of the old package with the wheel of
# aarch64 or armv7l, in a Debian of that architecture, under an emulator.
#
# The Debian is made once and kept in ~/.cache/shmlock. All happens in namespaces of its own, as in
# try.sh; there the emulator is registered, which needs Linux 6.7.
set -euo pipefail
here=$(dirname "$0")
. "$here/../ci/lib/common.sh"
. ci/lib/python.sh
. cross-tests/linux.sh

suite=bookworm # with Python 3.11
# elf(5): class, byte order, machine.
some='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
rest='\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00'
case $1 in
    aarch64) debian=arm64 target=aarch64-unknown-linux-gnu magic='\x7fELF\x02'$rest'\xb7\x00' ;;
    armv7l) debian=armhf target=armv7-unknown-linux-gnueabihf magic='\x7fELF\x01'$rest'\x28\x00' ;;
    *) die "aarch64 or armv7l, not $1" ;;
esac

# in_namespaces OPTION COMMAND...: as the root of a user namespace with all users.
in_namespaces() {
    local fifos namespaces status=0
    fifos=$(mktemp -d)
    mkfifo "$fifos/made" "$fifos/mapped"
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --user bash -c '
        echo >"$1/made" && read -r _ <"$1/mapped" && shift
        exec unshare --mount --pid --fork --kill-child --mount-proc "$@"' in "$fifos" "$@" &
    namespaces=$!
    read -r _ <"$fifos/made"
    echo "0 0 65536" | tee "/proc/$namespaces/uid_map" >"/proc/$namespaces/gid_map"
    echo >"$fifos/mapped"
    wait "$namespaces" || status=$?
    rm -r "$fifos"
    return "$status"
}

register() { # EMULATOR
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null ||
        skip "this needs a kernel with binfmt_misc in user namespaces: Linux 6.7 or newer"
    printf ':emulator:M::%s:%s:%s:F' "$magic" "$some" "$1" >/proc/sys/fs/binfmt_misc/register
}

make_root() { # EMULATOR DIRECTORY
    register "$1"
    mmdebstrap --quiet --mode=unshare --skip=check/qemu --architectures="$debian" --variant=essential \
        --include=python3,python3-pytest "$suite" "$2" http://deb.debian.org/debian
}

use_root() { # EMULATOR ROOT WORK
    register "$1"
    mkdir "$3/root" "$3/layer"
    mount -t tmpfs none "$3/layer"
    mkdir "$3/layer/changed" "$3/layer/work"
    mount -t overlay -o "userxattr,lowerdir=$2,upperdir=$3/layer/changed,workdir=$3/layer/work" \
        none "$3/root"
    mount -t proc none "$3/root/proc"
    mount -t tmpfs none "$3/root/dev"
    local device
    for device in null zero full random urandom tty; do
        touch "$3/root/dev/$device"
        mount --bind "/dev/$device" "$3/root/dev/$device"
    done
    ln -s /proc/self/fd "$3/root/dev/fd"
    mkdir "$3/root/dev/shm"
    mount -t tmpfs -o mode=1777 none "$3/root/dev/shm"
    mount -t tmpfs -o mode=1777 none "$3/root/tmp"
    cp -r "$3/inside" "$3/root/tmp/"
    chroot "$3/root" env -i HOME=/tmp PATH=/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
        SHMLOCK_OLD="$(cd "$3/inside" && printf '/tmp/inside/%s:' shmlock-*)" \
        bash /tmp/inside/use.sh
}

case ${2:-} in
    --make | --use)
        "${2#--}_root" "${@:3}"
        exit
        ;;
esac

[ "$(id -u)" = 0 ] || skip "a Debian root needs root"
needs mmdebstrap mmdebstrap
unshare --user true 2>/dev/null || skip "user namespaces are not permitted here"
qemu=$(emulator "$target")
wheels=${CARGO_TARGET_DIR:-target}/packages/wheels
wheel=$(find "$wheels" -name "*_$1.whl" -print -quit 2>/dev/null)
[ -n "$wheel" ] || die "no wheel of $1 is in $wheels; run packaging/wheels.sh $1"

root=$cache/python-$debian-$suite
if [ ! -d "$root" ]; then
    echo "making a Debian root of $debian (some minutes, once)"
    unfinished=$(mktemp -d "$cache/unpack.XXXXXX")
    trap 'rm -rf "$unfinished"' EXIT
    in_namespaces -- bash "$0" "$1" --make "$qemu" "$unfinished/root"
    mv "$unfinished/root" "$root"
    rm -r "$unfinished"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/inside/site"
mapfile -t pythons < <(all_pythons)
"${pythons[-1]}" -m zipfile -e "$wheel" "$work/inside/site"
cp -r python/tests python/README.md "$work/inside/"
for version in 5.0.1 4.4.4; do
    cp -r "$(old_package "${pythons[-1]}" $version)" "$work/inside/"
done
# The emulator is slow: what proves endurance, and what only a page shows, is left out.
cat >"$work/inside/use.sh" <<'USE'
set -eu
export PYTHONPATH=/tmp/inside/site
python3 -c 'import shmlock, sys, platform
print(shmlock.__version__, "on", platform.machine(), sys.version.split()[0])'
cd /tmp/inside
for old in shmlock-*; do
    for interop in 0 1; do
        mkdir "/tmp/judge" && cp -r "$old/tests" /tmp/judge && cd /tmp/judge
        SHMLOCK_INTEROP=$interop python3 -m pytest -q --tb=line -p no:cacheprovider tests \
            >/tmp/out || true
        echo "tests of $old, interop=$interop: $(tail -n 1 /tmp/out)"
        # ci/python.sh lists the six of the default mode, which are one and the same difference.
        failed=$(grep -c '^FAILED tests/test_debug_query' /tmp/out) || true
        [ "$failed" = $((6 - 6 * interop)) ] && [ "$(grep -c '^FAILED' /tmp/out)" = "$failed" ] ||
            { cat /tmp/out; exit 1; }
        cd /tmp/inside && rm -r /tmp/judge
    done
done
SHMLOCK_ROUNDS=10 python3 -m pytest -q --tb=short -p no:cacheprovider tests --ignore tests/test_pages.py
USE
in_namespaces --net bash "$0" "$1" --use "$qemu" "$root" "$work"
