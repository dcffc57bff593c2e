#!/usr/bin/env bash
# use.sh install|use|remove: a step of packaging/try.sh inside the Debian root. The packages are in
# /tmp/packages, C programs that were compiled against them in /tmp/programs, all examples in
# /tmp/examples.
# shellcheck disable=SC2016 # other shells expand the quoted text
set -euo pipefail

die() {
    echo "error: $*" >&2
    exit 1
}

# expect PATTERN COMMAND...: the output has a line that matches.
expect() {
    local output status=0
    output=$("${@:2}" 2>&1) || status=$?
    grep -qE -e "$1" <<<"$output" || die "no /$1/ in the output of ${*:2} (exit $status): $output"
}

# exits STATUS COMMAND...
exits() {
    local status=0
    "${@:2}" || status=$?
    [ "$status" = "$1" ] || die "${*:2} ended with $status instead of $1"
}

as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

# What shells write at their first start.
export HOME=/tmp/home
mkdir -p "$HOME"

install() {
    # Offline: all that the packages depend on is here, in the versions of this Debian.
    dpkg --install /tmp/packages/*.deb
    expect "^ii +shmlock " dpkg --list shmlock
}

program() {
    local name=packaged
    expect '^shmlock [0-9]' shmlock --version
    exits 7 shmlock run "$name" -- sh -c 'exit 7'
    exits 0 as_nobody shmlock run "$name" true
    mkfifo /tmp/held /tmp/free
    shmlock run "$name" -d "belt 7" -- \
        sh -c 'echo held >/tmp/held; read -r _ </tmp/free' &
    read -r _ </tmp/held
    exits 1 shmlock run -n "$name" true
    expect "^$name: held" shmlock status "$name"
    expect "shmlock +[0-9]+ held .* $name +belt 7" shmlock list
    echo >/tmp/free
    wait $!
    exits 0 shmlock run -n "$name" true
    # The next owner takes over from a dead one.
    exits 137 shmlock run -F "$name" -- sh -c 'kill -KILL $$'
    expect "^$name: its owner is dead" shmlock status "$name"
    expect 'its owner died holding it' shmlock run -v -w 10 "$name" true
    nothing_in_memory
}

nothing_in_memory() {
    [ -z "$(ls -A /dev/shm)" ] || die "in /dev/shm there is still: $(ls -A /dev/shm)"
}

manual_pages() {
    local verb function
    for verb in '' -run -status -list -watch -clean -hold -bench -probe-memory -completions \
        -man; do
        gzip --test "/usr/share/man/man1/shmlock$verb.1.gz"
    done
    [ ! -e /usr/include/shmlock.h ] ||
        for function in $(grep -o '\bshmlock_[a-z_]*(' /usr/include/shmlock.h | tr -d '('); do
            gzip --test "/usr/share/man/man3/$function.3.gz"
        done
    command -v man >/dev/null || { echo "there is no man here: pages are not shown" && return; }
    # As an ordinary user: root's man keeps formatted pages.
    expect '^EXIT STATUS' as_nobody man shmlock-run
    expect '^ENVIRONMENT' as_nobody man shmlock
    [ ! -e /usr/include/shmlock.h ] || expect '^SYNOPSIS' as_nobody man 3 shmlock_lock
}

completions() {
    # As the Tab key: loads the file by the name of the command, then asks for a verb.
    expect '^status$' bash -c '. /usr/share/bash-completion/bash_completion
        _completion_loader shmlock || true
        COMP_WORDS=(shmlock sta) COMP_CWORD=1
        "$(complete -p shmlock | sed "s/.*-F \([^ ]*\).*/\1/")" shmlock sta shmlock
        printf "%s\n" "${COMPREPLY[@]}"'
    ! command -v zsh >/dev/null || expect '^_shmlock$' zsh -fc '
        autoload -Uz compinit && compinit -u -D && autoload +X _shmlock
        [[ $functions[_shmlock] = *status* ]] && print -r -- "$_comps[shmlock]"'
    ! command -v fish >/dev/null || expect '^status' fish -c 'complete -C "shmlock sta"'
}

library() {
    local programs=/tmp/programs example program
    [ -e "$programs" ] || { echo "there is no library among the packages" && return; }
    # The program links the shared library, and the loader finds it.
    expect 'libshmlock.so.1 => /' ldd "$programs/named_counter"
    "$programs/named_counter" /tmp/count 2000 &
    local counter=$!
    luajit /tmp/examples/lua/named_counter.lua /tmp/count 500 &
    local script=$!
    "$programs/static_counter" /tmp/count 2000
    wait "$counter"
    wait "$script"
    expect '^4500$' cat /tmp/count
    for example in c/named_recover.c c/named_signal.c cpp/guards.cpp; do
        program=$programs/$(basename "${example%.*}")
        [ -e "$program" ] || { echo "not compiled: $example" && continue; }
        diff <(sed -n '/Expected output/,/\*\//s/^     //p' "/tmp/examples/$example") \
            <("$program") || die "$example printed something else"
    done
    nothing_in_memory
}

remove() {
    local names=()
    mapfile -t names < <(for package in /tmp/packages/*.deb; do
        dpkg --field "$package" Package
    done)
    dpkg --purge "${names[@]}"
    ! command -v shmlock || die "the program is still here"
}

case $1 in
    install) install ;;
    use)
        program
        manual_pages
        completions
        library
        ;;
    remove) remove ;;
    *) die "no such step: $1" ;;
esac
