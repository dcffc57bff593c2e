#!/usr/bin/env bash
# Proves: the recipes of docs/deploy.md work as the page says; and each recipe that the page names is here, and each that
# is here is in the page. Namespaces stand in for container engines.
# `recipes.sh NAME...` runs these alone. SHMLOCK names a program that is built already.
# shellcheck disable=SC2317,SC2016 # recipes are called by their names, and what is quoted is for another shell
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

page=docs/deploy.md
me=recipe-$$
anna=54321 bert=54322 group=54323 # users and a group that no system has
nobody=65534

# The recipes, in the order of the page. Each runs in a process of its own with a directory of its own, $work, which is gone
# afterwards; it ends with a failure or with 77, see `skip`.

# --- containers

own_shm() { # each container has its own /dev/shm: two locks
    hold "$me" in_container "$own"
    in_container "$own" "$shmlock" run -n "$me" true
}

same_shm() { # one /dev/shm, whatever else is apart: one lock
    hold "$me" in_container "$same"
    refused in_container "$same" "$shmlock" run -n "$me" true
    end_holder
    in_container "$same" "$shmlock" run -w 10 "$me" true
    nothing_left "/dev/shm/$me"
}

shared_directory() { # a directory that is mounted into both: one lock, whichever side makes it and whichever goes last
    mkdir "$work/locks"
    local there=(in_container "$own; mount --bind '$work/locks' /mnt")
    hold l --directory /mnt "${there[@]}"
    refused "$shmlock" run -n --directory "$work/locks" l true
    end_holder
    "${there[@]}" "$shmlock" run -w 10 --directory /mnt l true
    nothing_left "$work/locks/l"
    hold l --directory "$work/locks"
    refused "${there[@]}" "$shmlock" run -n --directory /mnt l true
}

mounted_file() { # the file alone is mounted: good until its last user outside goes, and then refused
    mkdir "$work/locks" "$work/inside"
    touch "$work/inside/l.shmlock"
    hold l --directory "$work/locks"
    there "$work" "$shmlock" "$work/locks/l.shmlock" "$work/inside/l.shmlock" <<'THERE'
        work=$1 shmlock=$2
        mount --bind "$3" "$4"
        status=0
        "$shmlock" run -n --directory "$work/inside" l true || status=$?
        [ "$status" = 1 ] || { echo "it is held outside: $status"; exit 1; }
        echo >"$work/free"
        until [ ! -e "$3" ]; do sleep 0.01; done
        said=$("$shmlock" run -n --directory "$work/inside" l true 2>&1) && { echo "it was opened"; exit 1; }
        case $said in *"removed file"*"mount the directory"*) ;; *) echo "$said"; exit 1 ;; esac
THERE
}

container_as_nobody() { # a container whose user is 65534
    install -d -o "$nobody" -g "$nobody" "$work/locks"
    hold l --directory "$work/locks" as "$nobody" "$nobody"
    refused as "$nobody" "$nobody" "$shmlock" run -n --directory "$work/locks" l true
    end_holder
    as "$nobody" "$nobody" "$shmlock" run -w 10 --directory "$work/locks" l true
    nothing_left "$work/locks/l"
}

rootless() { # root in a user namespace is, outside, the user that made it
    user_namespaces
    install -d -o "$anna" -g "$group" "$work/locks"
    hold l --directory "$work/locks" as "$anna" "$group"
    refused as "$anna" "$group" unshare --user --map-root-user "$shmlock" run -n --directory "$work/locks" l true
    end_holder
    as "$anna" "$group" unshare --user --map-root-user "$shmlock" run -w 10 --directory "$work/locks" l true
    nothing_left "$work/locks/l"
}

rootless_with_others() { # an owner without a number inside is trusted by the number that is shown instead
    user_namespaces
    install -d -o "$anna" -g "$group" -m 2770 "$work/locks"
    hold l --directory "$work/locks" --mode 660 as "$anna" "$group"
    local inside=(as "$bert" "$group" unshare --user --map-root-user "$shmlock" run -n --directory "$work/locks" --mode 660)
    says 'no number here' "${inside[@]}" l true
    refused "${inside[@]}" --trust-owner "$nobody" l true
}

read_only_root() { # nothing can be written but a tmpfs for the locks
    mkdir "$work/root" "$work/locks"
    there "$work" "$shmlock" <<'THERE'
        work=$1 shmlock=$2
        mount -t tmpfs -o ro none "$work/root"
        mount -t tmpfs none "$work/locks"
        said=$("$shmlock" run --directory "$work/root" l true 2>&1) && { echo "it was made"; exit 1; }
        case $said in *"mount it writable"*) ;; *) echo "$said"; exit 1 ;; esac
        "$shmlock" run --directory "$work/locks" l true
THERE
}

tiny_tmpfs() { # a lock takes one page and one inode; a full file system is an error at the opening
    mkdir "$work/locks"
    there "$work" "$shmlock" <<'THERE'
        work=$1 shmlock=$2
        mount -t tmpfs -o size=4k,nr_inodes=2 none "$work/locks"
        said=$("$shmlock" run --directory "$work/locks" l -- "$shmlock" run --directory "$work/locks" l2 true 2>&1) || true
        case $said in *"free space or inodes"*) ;; *) echo "$said"; exit 1 ;; esac
        "$shmlock" run --directory "$work/locks" l true
THERE
}

small_file_limit() { # ulimit -f, LimitFSIZE=: an error, not a death
    says 'RLIMIT_FSIZE' sh -c "ulimit -f 0; exec '$shmlock' run $me true"
    nothing_left "/dev/shm/$me"
}

# --- units and cron

cron() { # no terminal, no input, hardly an environment: a second run says nothing and ends with its status
    hold "$me"
    local line=(env -i HOME=/ PATH=/usr/bin:/bin SHELL=/bin/sh setsid --wait "$shmlock" run -n -E 0 "$me" true)
    local said
    said=$("${line[@]}" </dev/null 2>&1) || fail "its status: $?"
    [ -z "$said" ] || fail "it says: $said"
    end_holder
    said=$(env -i PATH=/usr/bin:/bin setsid --wait "$shmlock" run -w 10 "$me" echo ran </dev/null 2>&1)
    [ "$said" = ran ] || fail "it says: $said"
}

unit_is_stopped() { # what systemd does by default: TERM to every process of the unit; the lock is free afterwards
    local status=0
    setsid "$shmlock" run "$me" -- sleep 60 &
    local unit=$!
    until_held "$me"
    kill -TERM -- "-$unit"
    wait "$unit" || status=$?
    [ "$status" = 143 ] || fail "it ended with $status" # by the signal itself, or the shell's number for it
    nothing_left "/dev/shm/$me"
}

unit_is_killed() { # SIGKILL to every process: the lock is free, and the next owner is told
    setsid "$shmlock" run "$me" -- sleep 60 2>/dev/null &
    local unit=$!
    until_held "$me"
    kill -KILL -- "-$unit"
    wait "$unit" 2>/dev/null || true
    says 'died holding it' "$shmlock" run -v -w 10 "$me" true
    nothing_left "/dev/shm/$me"
}

runtime_directory() { # RuntimeDirectory= with RuntimeDirectoryMode=: a directory of the unit's user
    install -d -o "$anna" -g "$group" -m 700 "$work/run"
    hold l --directory "$work/run" as "$anna" "$group"
    refused as "$anna" "$group" "$shmlock" run -n --directory "$work/run" l true
    says 'Permission denied' as "$bert" "$group" "$shmlock" run -n --directory "$work/run" l true
}

remove_ipc() { # RemoveIPC=: the file goes while it is in use; a waiter is told at once
    hold "$me"
    "$shmlock" run -w 20 "$me" true 2>"$work/said" &
    local waiter=$! status=0
    until [ "$("$shmlock" status --json "$me" | grep -c '"waiters": *true')" = 1 ]; do sleep 0.01; done
    rm "/dev/shm/$me.shmlock"
    wait "$waiter" || status=$?
    [ "$status" != 0 ] || fail "it has the lock"
    grep -q RemoveIPC "$work/said" || fail "it says: $(cat "$work/said")"
}

# --- users

shared_group() { # a directory of the group, of mode 2770, and --mode 660
    install -d -o root -g "$group" -m 2770 "$work/locks"
    hold l --directory "$work/locks" --mode 660 as "$anna" 1 "$group"
    refused as "$bert" 1 "$group" "$shmlock" run -n --directory "$work/locks" --mode 660 l true
    says 'Permission denied' as "$bert" 1 "$shmlock" run -n --directory "$work/locks" --mode 660 l true
    end_holder
    as "$bert" 1 "$group" "$shmlock" run -w 10 --directory "$work/locks" --mode 660 l true
    nothing_left "$work/locks/l"
}

group_in_dev_shm() { # --mode 660 there gives the file its maker's own group: the other members are refused, and told
    hold "$me" --mode 660 as "$anna" "$anna" "$group"
    says 'mode 2770' as "$bert" "$bert" "$group" "$shmlock" run -n --mode 660 "$me" true
}

held_with_another_mode() { # the advice is not to remove a lock that is in use
    hold "$me" --mode 666
    says 'held by' "$shmlock" run -n "$me" true
    says 'makes two locks' "$shmlock" run -n "$me" true
}

# --- what they are made of

fail() {
    echo "$*" >&2
    exit 1
}

# as UID GID [GROUP] COMMAND...: another user, with one more group or none.
as() {
    local uid=$1 gid=$2 groups=--clear-groups
    shift 2
    case $1 in [0-9]*) groups=--groups=$1 && shift ;; esac
    setpriv --reuid="$uid" --regid="$gid" "$groups" "$@"
}

# What a container mounts: a /dev/shm of its own, or nothing.
own='mount -t tmpfs none /dev/shm'
same=:

# in_container MOUNTS COMMAND...: with processes and mounts of its own.
in_container() {
    local mounts=$1
    shift
    unshare --mount --pid --fork --kill-child --mount-proc sh -c "$mounts && exec \"\$@\"" sh "$@"
}

# there ARGUMENT...: runs standard input as a script with mounts of its own.
there() { unshare --mount bash -euo pipefail -s -- "$@"; }

# hold NAME [--option VALUE]... [PREFIX...]: a holder, in the background, until end_holder or the end of the recipe.
hold() {
    local name=$1 options=() prefix=()
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --*) options+=("$1" "$2") && shift 2 ;;
            *) prefix=("$@") && break ;;
        esac
    done
    rm -f "$work/held" "$work/free"
    mkfifo -m 666 "$work/held" "$work/free"
    "${prefix[@]}" "$shmlock" run "${options[@]}" "$name" -- \
        sh -c 'echo held >"$1/held"; read -r _ <"$1/free"' sh "$work" &
    holder=$!
    read -r _ <"$work/held"
}

end_holder() {
    echo >"$work/free"
    wait "$holder" || fail "the holder ended with $?"
}

until_held() { until "$shmlock" status "$1" | grep -q ': held'; do sleep 0.01; done; }

# refused COMMAND...: ends with 1, as a lock that is held makes it.
refused() {
    local status=0
    "$@" >"$work/output" 2>&1 || status=$?
    [ "$status" = 1 ] || fail "it ended with $status, not with 1: $* $(cat "$work/output")"
}

# says WORDS COMMAND...: says so, whatever its status.
says() {
    local words=$1 said
    shift
    said=$("$@" 2>&1) || true
    case $said in *"$words"*) ;; *) fail "'$words' is not in: $said" ;; esac
}

nothing_left() { [ ! -e "$1.shmlock" ] || fail "$1.shmlock is left"; }

user_namespaces() {
    as "$anna" "$group" unshare --user --map-root-user true 2>/dev/null || skip "no user namespaces for everybody here"
}

# --- running them

recipes() { sed -n 's/^\([a-z_]*\)() { # .*/\1/p' "$0" | grep -vx 'recipes'; }

if [ "${1-}" = --one ]; then
    work=$(mktemp -d)
    chmod 755 "$work"
    # The holder ends, if there is one, and all files go.
    trap '[ ! -p "$work/free" ] || { exec 3<>"$work/free" && echo >&3; }; wait; rm -rf "$work" "/dev/shm/$me.shmlock"' EXIT
    "$2"
    exit
fi

[ "$(id -u)" = 0 ] || skip "these need root"
command -v unshare setpriv >/dev/null || skip "these need unshare(1) and setpriv(1)"
unshare --mount --pid --fork true 2>/dev/null || skip "no namespaces here"
if [ -z "${SHMLOCK-}" ]; then
    cargo build --quiet -p shmlock-cli
    SHMLOCK=$PWD/target/debug/shmlock
fi
# Other users have to reach it, wherever it was built.
program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
install -m 755 "$SHMLOCK" "$program/shmlock"
chmod 755 "$program"
export shmlock=$program/shmlock

named=$(grep -o '`recipe [a-z_]*`' "$page" | tr -d '`' | cut -d' ' -f2 | sort -u)
[ "$named" = "$(recipes | sort -u)" ] ||
    die "$page and $0 name different recipes: $(diff <(echo "$named") <(recipes | sort -u))"

failed=0
[ $# -gt 0 ] || mapfile -t all < <(recipes)
for recipe in "${@:-${all[@]}}"; do
    status=0
    timeout --kill-after=5 60 bash "$0" --one "$recipe" </dev/null || status=$?
    case $status in
        0) echo "ok       $recipe" ;;
        77) echo "skipped  $recipe" ;;
        *) echo "FAILED   $recipe" && failed=1 ;;
    esac
done
exit $failed
