#!/usr/bin/env bash
# Proves: the recipes of docs/deploy.md work as described, and the page and this script have the
# same recipes. Namespaces stand for container engines. `recipes.sh NAME...` runs only these
# recipes. SHMLOCK names a program that is already built.
# shellcheck disable=SC2317,SC2016 # recipes are called by name; other shells expand the quoted text
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

page=docs/deploy.md
me=recipe-$$
anna=54321 bert=54322 group=54323 # users and a group that no system has
nobody=65534

# The recipes, in the order of the page. Each runs in its own process with a temporary directory,
# $work. It may end with 77, see `skip`.

# --- containers

own_shm() { # each container has its own /dev/shm: two locks
    hold "$me" in_container "$own"
    in_container "$own" "$shmlock" run -n "$me" true
}

same_shm() { # containers share /dev/shm: one lock
    hold "$me" in_container "$same"
    refused in_container "$same" "$shmlock" run -n "$me" true
    end_holder
    in_container "$same" "$shmlock" run -w 10 "$me" true
    nothing_left "/dev/shm/$me"
}

shared_directory() { # both mount one directory: one lock, whichever side creates or closes it
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

mounted_file() { # only the file is mounted: works until its last user outside closes it
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
        run=("$shmlock" run -n --directory "$work/inside" l true)
        output=$("${run[@]}" 2>&1) && { echo "it was opened"; exit 1; }
        case $output in *"removed file"*"mount the directory"*) ;; *) echo "$output"; exit 1 ;; esac
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

rootless() { # root in a user namespace is its creator outside
    user_namespaces
    install -d -o "$anna" -g "$group" "$work/locks"
    hold l --directory "$work/locks" as "$anna" "$group"
    local inside=(as "$anna" "$group" unshare --user --map-root-user "$shmlock" run)
    refused "${inside[@]}" -n --directory "$work/locks" l true
    end_holder
    "${inside[@]}" -w 10 --directory "$work/locks" l true
    nothing_left "$work/locks/l"
}

rootless_with_others() { # an unmapped owner is trusted by the overflow user id
    user_namespaces
    install -d -o "$anna" -g "$group" -m 2770 "$work/locks"
    hold l --directory "$work/locks" --mode 660 as "$anna" "$group"
    local inside=(as "$bert" "$group" unshare --user --map-root-user "$shmlock" run -n)
    inside+=(--directory "$work/locks" --mode 660)
    prints 'no number here' "${inside[@]}" l true
    refused "${inside[@]}" --trust-owner "$nobody" l true
}

read_only_root() { # only a tmpfs for the locks is writable
    mkdir "$work/root" "$work/locks"
    there "$work" "$shmlock" <<'THERE'
        work=$1 shmlock=$2
        mount -t tmpfs -o ro none "$work/root"
        mount -t tmpfs none "$work/locks"
        run=("$shmlock" run --directory "$work/root" l true)
        output=$("${run[@]}" 2>&1) && { echo "it was created"; exit 1; }
        case $output in *"mount it writable"*) ;; *) echo "$output"; exit 1 ;; esac
        "$shmlock" run --directory "$work/locks" l true
THERE
}

tiny_tmpfs() { # a lock takes a page and an inode; on a full file system, opening fails
    mkdir "$work/locks"
    there "$work" "$shmlock" <<'THERE'
        work=$1 shmlock=$2
        mount -t tmpfs -o size=4k,nr_inodes=2 none "$work/locks"
        run=("$shmlock" run --directory "$work/locks")
        output=$("${run[@]}" l -- "${run[@]}" l2 true 2>&1) || true
        case $output in *"free space or inodes"*) ;; *) echo "$output"; exit 1 ;; esac
        "$shmlock" run --directory "$work/locks" l true
THERE
}

small_file_limit() { # ulimit -f, LimitFSIZE=: an error, no signal
    prints 'RLIMIT_FSIZE' sh -c "ulimit -f 0; exec '$shmlock' run $me true"
    nothing_left "/dev/shm/$me"
}

# --- units and cron

cron() { # no terminal, no input, a small environment: a second run is silent
    hold "$me"
    local as_cron=(env -i HOME=/ PATH=/usr/bin:/bin SHELL=/bin/sh setsid --wait "$shmlock" run)
    local output
    output=$("${as_cron[@]}" -n -E 0 "$me" true </dev/null 2>&1) || fail "its status: $?"
    [ -z "$output" ] || fail "it prints: $output"
    end_holder
    output=$("${as_cron[@]}" -w 10 "$me" echo ran </dev/null 2>&1)
    [ "$output" = ran ] || fail "it prints: $output"
}

unit_is_stopped() { # as systemd: SIGTERM to every process of the unit; the lock is free
    local status=0
    setsid "$shmlock" run "$me" -- sleep 60 &
    local unit=$!
    until_held "$me"
    kill -TERM -- "-$unit"
    wait "$unit" || status=$?
    [ "$status" = 143 ] || fail "it ended with $status"
    nothing_left "/dev/shm/$me"
}

unit_is_killed() { # SIGKILL to every process: the lock is free, the next owner learns of it
    setsid "$shmlock" run "$me" -- sleep 60 2>/dev/null &
    local unit=$!
    until_held "$me"
    kill -KILL -- "-$unit"
    wait "$unit" 2>/dev/null || true
    prints 'died holding it' "$shmlock" run -v -w 10 "$me" true
    nothing_left "/dev/shm/$me"
}

runtime_directory() { # RuntimeDirectory= and RuntimeDirectoryMode=: a directory of the unit's user
    install -d -o "$anna" -g "$group" -m 700 "$work/run"
    hold l --directory "$work/run" as "$anna" "$group"
    refused as "$anna" "$group" "$shmlock" run -n --directory "$work/run" l true
    prints 'Permission denied' as "$bert" "$group" "$shmlock" run -n --directory "$work/run" l true
}

remove_ipc() { # RemoveIPC=: the file is removed while in use; a waiter fails at once
    hold "$me"
    "$shmlock" run -w 20 "$me" true 2>"$work/errors" &
    local waiter=$! status=0
    until "$shmlock" status --json "$me" | grep '"waiters": *true' >/dev/null; do sleep 0.01; done
    rm "/dev/shm/$me.shmlock"
    wait "$waiter" || status=$?
    [ "$status" != 0 ] || fail "it acquired the lock"
    grep -q RemoveIPC "$work/errors" || fail "it prints: $(cat "$work/errors")"
}

# --- users

shared_group() { # a directory of the group, of mode 2770, and --mode 660
    install -d -o root -g "$group" -m 2770 "$work/locks"
    hold l --directory "$work/locks" --mode 660 as "$anna" 1 "$group"
    refused as "$bert" 1 "$group" "$shmlock" run -n --directory "$work/locks" --mode 660 l true
    prints 'Permission denied' \
        as "$bert" 1 "$shmlock" run -n --directory "$work/locks" --mode 660 l true
    end_holder
    as "$bert" 1 "$group" "$shmlock" run -w 10 --directory "$work/locks" --mode 660 l true
    nothing_left "$work/locks/l"
}

group_in_dev_shm() { # --mode 660 in /dev/shm: the file has its creator's group; others fail
    hold "$me" --mode 660 as "$anna" "$anna" "$group"
    prints 'mode 2770' as "$bert" "$bert" "$group" "$shmlock" run -n --mode 660 "$me" true
}

held_with_another_mode() { # the message warns against removing a lock in use
    hold "$me" --mode 666
    prints 'held by' "$shmlock" run -n "$me" true
    prints 'makes two locks' "$shmlock" run -n "$me" true
}

# --- helpers

fail() {
    echo "$*" >&2
    exit 1
}

# as UID GID [GROUP] COMMAND...: runs it as another user, with one more group or none.
as() {
    local uid=$1 gid=$2 groups=--clear-groups
    shift 2
    case $1 in [0-9]*) groups=--groups=$1 && shift ;; esac
    setpriv --reuid="$uid" --regid="$gid" "$groups" "$@"
}

# The mounts of a container: its own /dev/shm, or nothing.
own='mount -t tmpfs none /dev/shm'
same=:

# in_container MOUNTS COMMAND...: runs it in its own pid and mount namespaces.
in_container() {
    local mounts=$1
    shift
    unshare --mount --pid --fork --kill-child --mount-proc sh -c "$mounts && exec \"\$@\"" sh "$@"
}

# there ARGUMENT...: runs standard input as a script in its own mount namespace.
there() { unshare --mount bash -euo pipefail -s -- "$@"; }

# hold NAME [--option VALUE]... [PREFIX...]: holds the lock in the background until end_holder or
# the end of the recipe.
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

# Not -q: the program would fail if grep stopped reading.
until_held() { until "$shmlock" status "$1" | grep ': held' >/dev/null; do sleep 0.01; done; }

# refused COMMAND...: fails unless the command ends with 1, as for a held lock.
refused() {
    local status=0
    "$@" >"$work/output" 2>&1 || status=$?
    [ "$status" = 1 ] || fail "it ended with $status, not with 1: $* $(cat "$work/output")"
}

# prints WORDS COMMAND...: fails unless the output contains the words; ignores the status.
prints() {
    local words=$1 output
    shift
    output=$("$@" 2>&1) || true
    case $output in *"$words"*) ;; *) fail "'$words' is not in: $output" ;; esac
}

nothing_left() { [ ! -e "$1.shmlock" ] || fail "$1.shmlock is left"; }

user_namespaces() {
    as "$anna" "$group" unshare --user --map-root-user true 2>/dev/null ||
        skip "user namespaces are not permitted here"
}

# --- main

recipes() { sed -n 's/^\([a-z_]*\)() { # .*/\1/p' "$0" | grep -vx 'recipes'; }

if [ "${1-}" = --one ]; then
    work=$(mktemp -d)
    chmod 755 "$work"
    # Ends the holder, if there is one, and removes all files.
    trap '[ ! -p "$work/free" ] || { exec 3<>"$work/free" && echo >&3; }
        wait
        rm -rf "$work" "/dev/shm/$me.shmlock"' EXIT
    "$2"
    exit
fi

[ "$(id -u)" = 0 ] || skip "the recipes need root"
command -v unshare setpriv >/dev/null || skip "the recipes need unshare(1) and setpriv(1)"
unshare --mount --pid --fork true 2>/dev/null || skip "namespaces are not permitted here"
if [ -z "${SHMLOCK-}" ]; then
    cargo build --quiet -p shmlock-cli
    SHMLOCK=$PWD/target/debug/shmlock
fi
# Other users must be able to run it, wherever it was built.
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
