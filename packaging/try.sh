#!/usr/bin/env bash
# try.sh ARCHITECTURE: installs the packages of target/packages/deb into a fresh Debian, uses them
# there, removes them, and fails if anything is left.
#
# The Debian is made once and kept in ~/.cache/shmlock; each run has it below an empty layer.
# All happens in namespaces of its own. There an emulator is registered for programs of another
# architecture, which needs Linux 6.7; the system's own list of binary formats does not change.
set -euo pipefail
. "$(dirname "$0")/../ci/lib/common.sh"
. cross-tests/linux.sh

# The oldest release for which the packages are made.
suite=bookworm
# Nothing but bash and a script's interpreter where each instruction is emulated.
declare -A contents=(
    [amd64]="minbase g++,pkg-config,luajit,man-db,bash-completion,zsh,fish"
    [arm64]="essential bash-completion,luajit"
    [armhf]="essential bash-completion,luajit"
)

# The beginning of an ELF program of this architecture, and which bits of it count. elf(5): class
# and byte order, executable or shared object, machine.
elf='\x7fELF' rest='\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00'
declare -A magic=(
    [arm64]="$elf\\x02\\x01\\x01$rest\\xb7\\x00"
    [armhf]="$elf\\x01\\x01\\x01$rest\\x28\\x00"
)
some='\xff\xff\xff\xff\xff\xff\xff\x00' any='\xff\xff\xff\xff\xff\xff\xff\xff'
mask="$some$any\\xfe\\xff\\xff\\xff"

# in_namespaces OPTION COMMAND...: runs it as the root of a user namespace with all users, in mount
# and process namespaces. OPTION is one more of unshare(1), or --.
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
    echo "0 0 65536" >"/proc/$namespaces/uid_map"
    echo "0 0 65536" >"/proc/$namespaces/gid_map"
    echo >"$fifos/mapped"
    rm -r "$fifos" # a run that is killed leaves nothing, either
    wait "$namespaces" || status=$?
    return "$status"
}

# foreign ARCHITECTURE: succeeds if this machine's kernel cannot run its programs.
foreign() { [ "$1" != "$(dpkg --print-architecture)" ]; }

# register ARCHITECTURE EMULATOR: registers the emulator with the user namespace. The kernel opens
# it at once (F), so it need not exist in the root. Documentation/admin-guide/binfmt-misc.rst.
register() {
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null ||
        skip "$1 needs a kernel with binfmt_misc in user namespaces: Linux 6.7 or newer"
    printf ':emulator:M::%s:%s:%s:F' "${magic[$1]}" "$mask" "$2" >/proc/sys/fs/binfmt_misc/register
}

# make_root ARCHITECTURE EMULATOR DIRECTORY: inside the namespaces.
make_root() {
    local variant packages
    read -r variant packages <<<"${contents[$1]}"
    [ -z "$2" ] || register "$1" "$2"
    # The emulator is not where mmdebstrap would look for it.
    mmdebstrap --quiet --mode=unshare --skip=check/qemu --architectures="$1" --variant="$variant" \
        --include="$packages" "$suite" "$3" http://deb.debian.org/debian
}

# use_root ARCHITECTURE EMULATOR ROOT WORK: inside the namespaces. WORK has the packages.
use_root() {
    local root=$4/root layer=$4/layer/changed device
    [ -z "$2" ] || register "$1" "$2"
    mkdir "$4/root" "$4/layer"
    mount -t tmpfs none "$4/layer"
    mkdir "$layer" "$4/layer/work"
    mount -t overlay -o "userxattr,lowerdir=$3,upperdir=$layer,workdir=$4/layer/work" none "$root"
    mount -t proc none "$root/proc"
    mount -t tmpfs none "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mkdir "$root/dev/shm"
    mount -t tmpfs -o mode=1777 none "$root/dev/shm"
    mount -t tmpfs -o mode=1777 none "$root/tmp"
    cp -r "$4/packages" packaging/use.sh "$root/tmp/"
    step() {
        chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
            bash /tmp/use.sh "$1"
    }
    step install
    [ ! -e "$root/usr/include/shmlock.h" ] || compile "$1" "$root"
    step use
    step remove
    nothing_left "$3" "$layer"
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

# The cache belongs to the user. The PATH of users of Debian has no programs for administrators.
mkdir -p "$cache"
[ "$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null ||
    exec sudo -n env "HOME=$HOME" "PATH=$PATH:/usr/sbin:/sbin" "XDG_CACHE_HOME=${cache%/shmlock}" \
        "CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}" bash packaging/try.sh "$@"
[ "$(id -u)" = 0 ] || skip "a Debian root needs root"
[ "$(dpkg --print-architecture)" = amd64 ] || skip "this machine is not an amd64"
needs mmdebstrap mmdebstrap
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || needs '' debian-archive-keyring
for check in "unshare --user" "in_namespaces --"; do
    $check true 2>/dev/null || skip "user namespaces are not permitted here"
done
packages=${CARGO_TARGET_DIR:-target}/packages/deb
qemu=''
case $1 in
    arm64) qemu=$(emulator aarch64-) ;;
    armhf) qemu=$(emulator armv7-) ;;
esac

# Another choice of packages is another root.
root=$cache/debian-$1-$(cksum <<<"$suite ${contents[$1]}" | cut -d' ' -f1)
if [ ! -d "$root" ]; then
    echo "making a Debian root of $1 (some minutes, once)"
    unfinished=$(mktemp -d "$cache/unpack.XXXXXX")
    trap 'rm -rf "$unfinished"' EXIT
    in_namespaces -- bash packaging/try.sh --make "$1" "$qemu" "$unfinished/root"
    # Another run may have made it meanwhile.
    mv -T "$unfinished/root" "$root" || [ -d "$root" ]
    rm -rf "$unfinished"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/packages"
for package in shmlock libshmlock1 libshmlock-dev; do
    ! ls "$packages/${package}"_*_"$1".deb >/dev/null 2>&1 ||
        cp "$packages/${package}"_*_"$1".deb "$work/packages/"
done
[ -n "$(ls "$work/packages")" ] || die "no package of $1 is in $packages; run packaging/build.sh $1"
in_namespaces --net bash packaging/try.sh --use "$1" "$qemu" "$root" "$work"
