#!/usr/bin/env bash
# try.sh ARCHITECTURE: installs the packages of target/packages/deb into a fresh Debian, uses them
# there, removes them, and fails if anything is left. lib/roots.sh has the Debian.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh
. packaging/lib/roots.sh

# The oldest release for which the packages are made.
suite=bookworm
# Nothing but bash and a script's interpreter where each instruction is emulated.
declare -A contents=(
    [amd64]="minbase g++,pkg-config,luajit,man-db,bash-completion,zsh,fish"
    [arm64]="essential bash-completion,luajit"
    [armhf]="essential bash-completion,luajit"
)

# use_root ARCHITECTURE EMULATOR ROOT WORK: inside the namespaces. WORK has the packages.
use_root() {
    local root=$4/root
    mount_root "$@"
    cp -r "$4/packages" packaging/use.sh "$root/tmp/"
    step() {
        chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
            bash /tmp/use.sh "$1"
    }
    step install
    [ ! -e "$root/usr/include/shmlock.h" ] || compile "$1" "$root"
    step use
    step remove
    nothing_left "$3" "$4/layer/changed"
}

# compile ARCHITECTURE ROOT: compiles the examples in C and C++ against the installed library, with
# the compiler of the root, or with a cross compiler outside it.
compile() {
    local source name flags multiarch compiler=(chroot "$2") outside=''
    multiarch=$(dpkg-architecture -f -a "$1" -q DEB_HOST_MULTIARCH 2>/dev/null)
    if foreign "$1"; then
        compiler=() outside=$2
        flags="-I$2/usr/include -L$2/usr/lib/$multiarch -lshmlock"
    else
        flags=$("${compiler[@]}" pkg-config --cflags --libs --static shmlock)
    fi
    mkdir "$2/tmp/programs"
    cp -r examples "$2/tmp/"
    for source in examples/c/named_*.c; do
        name=$(basename "$source" .c)
        # shellcheck disable=SC2086 # several flags
        "${compiler[@]}" "$multiarch-gcc" -std=c11 -Wall -Werror "$outside/tmp/$source" \
            -o "$outside/tmp/programs/$name" $flags
    done
    # shellcheck disable=SC2086 # several flags
    foreign "$1" || "${compiler[@]}" g++ -Wall -Werror /tmp/examples/cpp/guards.cpp \
        -o /tmp/programs/guards $flags
    # Without any shared library.
    # shellcheck disable=SC2086 # several flags
    "${compiler[@]}" "$multiarch-gcc" -static -std=c11 "$outside/tmp/examples/c/named_counter.c" \
        -o "$outside/tmp/programs/static_counter" $flags
}

# nothing_left BELOW LAYER: the layer has no file that is not below, and no changed one except the
# records of the package manager.
nothing_left() {
    local path records='^(var/(lib/dpkg|log|cache)/|etc/ld.so.cache$)' left=0
    while IFS= read -r path; do
        if [ -d "$1/$path" ] && [ -d "$2/$path" ]; then continue; fi
        if [[ $path =~ $records ]] && [[ $path != *shmlock* ]]; then continue; fi
        cmp -s "$1/$path" "$2/$path" || { echo "left or changed: /$path" && left=1; }
    done < <(find "$2" -mindepth 1 -printf '%P\n')
    return "$left"
}

case $1 in
    --make | --use)
        "${1#--}_root" "${@:2}"
        exit
        ;;
esac

as_root packaging/try.sh "$@"
read -r variant contained <<<"${contents[$1]}"
find_root packaging/try.sh "$1" "$suite" "$variant" "$contained"

packages=${CARGO_TARGET_DIR:-target}/packages/deb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/packages"
for package in shmlock libshmlock1 libshmlock-dev; do
    ! ls "$packages/${package}"_*_"$1".deb >/dev/null 2>&1 ||
        cp "$packages/${package}"_*_"$1".deb "$work/packages/"
done
[ -n "$(ls "$work/packages")" ] || die "no package of $1 is in $packages; run packaging/build.sh $1"
in_namespaces --net bash packaging/try.sh --use "$1" "$qemu" "$root" "$work"
