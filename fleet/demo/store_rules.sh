# Sourced by inside.sh: checks each rule of fenced_store by itself.
# shellcheck shell=bash
# shellcheck disable=SC2154 # limit, process, refusals: of machines.sh

# ask TEXT: sends it to the store, and prints the answer.
ask() {
    (
        exec 9<>/dev/tcp/10.0.2.1/7000
        printf "%b" "$1" >&9
        # Without a whole line, the store waits for its rest.
        [[ $1 == *'\n' ]] || exit 0
        timeout "$limit" cat <&9
    )
}

# expect REQUEST ANSWER
expect() {
    local answer
    answer=$(ask "$1\n")
    [ "$answer" = "$2" ] || die "the store answers '$answer' to '$1', not '$2'"
}

check_store_rules() {
    local journal=/dev/shm/journal-of-rules
    ! on store timeout "$limit" fenced_store "$journal" 10.0.2.1:7000 2>/dev/null ||
        die "a store begins without its journal"
    on store touch "$journal"
    store_begins
    expect 'read 5' 'value 0'
    expect 'write 5 1' accepted
    expect 'write 5 2' accepted # the same holder again
    expect 'read 7' 'value 2'
    expect 'write 5 3' 'refused 7' # the read has raised the fence
    expect 'read 6' 'refused 7'
    expect 'write 9' 'error: no request'
    ask 'write 8 1' # a part of 'write 8 100'
    expect 'read 7' 'value 2'
    killed "${process[store]}"
    on store sh -c "printf 'write 9 1' >>$journal" # a part of a line
    store_begins
    expect 'write 6 1' 'refused 7' # it remembers
    expect 'write 7 3' accepted
    killed "${process[store]}"
    store_begins
    expect 'read 7' 'value 3' # the part of a line is gone
    killed "${process[store]}"
    : >"$refusals"
}
