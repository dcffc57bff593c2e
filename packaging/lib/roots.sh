# Sourced after ci/lib/common.sh and cross-tests/linux.sh: makes Debian roots of several
# architectures, and uses them.
#
# A root is made once and kept in ~/.cache/shmlock; each run has it below an empty layer. All
# happens in namespaces of its own. There an emulator is registered for programs of another
# architecture, which needs Linux 6.7; the system's own list of binary formats does not change.
#
# The shell inside the namespaces is a new one: a script that sources this file calls `make_root`
# for `--make ARGUMENT...`, and a function of its own for what it passes to `in_namespaces`.
# shellcheck shell=bash

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
    # A shell ignores SIGINT in what it starts in the background; the programs here do not.
    # shellcheck disable=SC2016 # the inner shell expands it
    env --default-signal=INT,QUIT unshare --user bash -c '
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

# make_root ARCHITECTURE EMULATOR SUITE VARIANT PACKAGES DIRECTORY: inside the namespaces.
make_root() {
    [ -z "$2" ] || register "$1" "$2"
    # The emulator is not where mmdebstrap would look for it. A mirror of a release that is not yet
    # stable may be some weeks old: the signatures count, the date does not.
    mmdebstrap --quiet --mode=unshare --skip=check/qemu --architectures="$1" --variant="$4" \
        --aptopt='Acquire::Check-Valid-Until "false"' --include="$5" "$3" "$6" \
        http://deb.debian.org/debian
}

# mount_root ARCHITECTURE EMULATOR ROOT WORK: inside the namespaces, mounts the root at WORK/root,
# below an empty layer, WORK/layer/changed.
mount_root() {
    local root=$4/root layer=$4/layer/changed device
    [ -z "$2" ] || register "$1" "$2"
    mkdir "$root" "$4/layer"
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
}

# find_root SCRIPT ARCHITECTURE SUITE VARIANT PACKAGES: sets `root` and `qemu`, the emulator or
# nothing. Makes the root if there is none; SCRIPT is the caller, which runs as root.
find_root() {
    local unfinished
    [ "$(id -u)" = 0 ] || skip "a Debian root needs root"
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || skip "this machine is not an amd64"
    needs mmdebstrap mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || needs '' debian-archive-keyring
    for check in "unshare --user" "in_namespaces --"; do
        $check true 2>/dev/null || skip "user namespaces are not permitted here"
    done
    qemu=''
    case $2 in
        arm64) qemu=$(emulator aarch64-) ;;
        armhf) qemu=$(emulator armv7-) ;;
    esac
    # Another choice of packages is another root.
    root=$cache/debian-$2-$(cksum <<<"$3 $4 $5" | cut -d' ' -f1)
    [ ! -d "$root" ] || return 0
    echo "making a Debian root of $2 (some minutes, once)"
    mkdir -p "$cache"
    unfinished=$(mktemp -d "$cache/unpack.XXXXXX")
    # shellcheck disable=SC2064 # the function ends before the script
    trap "rm -rf '$unfinished'" EXIT
    in_namespaces -- bash "$1" --make "$2" "$qemu" "$3" "$4" "$5" "$unfinished/root"
    # Another run may have made it meanwhile.
    mv -T "$unfinished/root" "$root" || [ -d "$root" ]
    rm -rf "$unfinished"
}

# as_root SCRIPT ARGUMENT...: starts the script as root, if the caller is not root and may. The
# cache belongs to the user. The PATH of users of Debian has no programs for administrators.
as_root() {
    mkdir -p "$cache"
    [ "$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null ||
        exec sudo -n env "HOME=$HOME" "PATH=$PATH:/usr/sbin:/sbin" \
            "XDG_CACHE_HOME=${cache%/shmlock}" "CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}" \
            bash "$@"
}
