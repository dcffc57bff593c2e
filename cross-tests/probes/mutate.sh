# Sourced by run.sh --mutate. Each line of core that makes or calls a fence is removed in turn, in a copy; the probes of
# every kind of core have to notice.
# shellcheck shell=bash disable=SC2154 # `kinds` comes from run.sh

# fences: the lines to remove, as FILE:NUMBER.
fences() {
    grep -nE 'fence\.(after_taking|before_giving)\(\);' core/src/{protocol,record}.rs
    grep -HnE '^ +(fence\(Ordering|barrier::full_system|.*=> (InnerShareable|FullSystem)\.)' core/src/fence.rs
    grep -Hn 'asm!("dmb sy"' core/src/barrier.rs
}

# remove SOURCES FILE NUMBER: an arm of a `match` keeps its pattern, a statement goes.
remove() {
    sed -i -E "$3{s/=> .*/=> {}/;t;s|[a-z:._!]+\(.*;|// removed|}" "$1/$2"
}

# notices SOURCES: builds and looks, for every kind; says which noticed, and fails if one did not.
notices() {
    local kind status unnoticed=0
    for kind in "${kinds[@]}"; do
        status=0
        # shellcheck disable=SC2086 # words
        look "$1" $kind >/dev/null 2>"$1/errors" || status=$?
        case $status in
            0) printf '    %-44s NOT noticed\n' "${kind#* }" && unnoticed=1 ;;
            1) printf '    %-44s noticed\n' "${kind#* }" ;;
            *) cat "$1/errors" && return 2 ;;
        esac
    done
    return "$unnoticed"
}

mutant=$(mktemp -d)/mutant
while IFS=: read -r file number line; do
    rm -rf "$mutant" && mkdir -p "$mutant/cross-tests"
    cp -r Cargo.toml core "$mutant"
    sed -i 's/^members = .*/members = ["core"]/' "$mutant/Cargo.toml"
    cp -r cross-tests/probes "$mutant/cross-tests"
    remove "$mutant" "$file" "$number"
    step "$file:$number ${line#"${line%%[! ]*}"}" notices "$mutant"
done < <(fences | sed -E 's/ +\/\/.*//')
rm -r "${mutant%/mutant}"
