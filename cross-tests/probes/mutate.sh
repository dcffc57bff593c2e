# Sourced by run.sh --mutate. Each line of core that makes or calls a fence is removed in turn, in a copy, and then made
# weaker where there is a weaker instruction; the probes of every kind of core that has the difference have to notice.
# shellcheck shell=bash disable=SC2154 # `kinds` comes from run.sh

# without: the lines that can go, as FILE:NUMBER:LINE.
without() {
    grep -nE 'fence\.(acquire|release)\(\);' core/src/{protocol,record/access,counters,snapshot}.rs
    grep -HnE '^ +(fence\(Ordering|barrier::full_system|.*=> (InnerShareable|FullSystem)\.)' core/src/fence.rs
    grep -Hn 'asm!("dmb sy"' core/src/barrier.rs
}

# mutants: what to do to which line, for whom to notice: KINDS|SCRIPT|FILE:NUMBER:LINE. Cortex-M has one barrier only,
# ARMv7-A none for loads alone.
mutants() {
    local line
    # An arm of a `match` keeps its pattern, a statement goes.
    without | sed 's/^/*|s%=> .*%=> {}%;t;s%[a-z:._!]+\\(.*;%\/\/ removed%|/'
    while IFS= read -r line; do
        case $line in
            *'fence.release();'*) echo "aarch64|s/release/acquire/|$line" ;;
            *'fence(Ordering::Release);'*) echo "aarch64|s/Release/Acquire/|$line" ;;
            *'barrier::full_system();'*) echo "a*|s/barrier::full_system\(\)/fence(Ordering::AcqRel)/|$line" ;;
            *'=> FullSystem.'*) echo "a*|s/=> FullSystem/=> InnerShareable/|$line" ;;
            *'"dmb sy"'*) echo "a*|s/dmb sy/dmb ish/|$line" ;;
        esac
    done < <(without)
}

# notices SOURCES KINDS: builds and looks, for every kind of this pattern; says which noticed, and fails if one did not.
notices() {
    local kind status unnoticed=0
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC2053 # a pattern
        [[ ${kind%% *} == $2 ]] || continue
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

# mutant SOURCES SCRIPT FILE NUMBER: a fresh copy, with this line changed; fails if it is as it was.
mutant() {
    rm -rf "$1" && mkdir -p "$1/cross-tests"
    cp -r Cargo.toml core "$1"
    sed -i 's/^members = .*/members = ["core"]/' "$1/Cargo.toml"
    cp -r cross-tests/probes "$1/cross-tests"
    sed -i -E "$4{$2}" "$1/$3"
    ! cmp -s "$3" "$1/$3"
}

copy=$(mktemp -d)/mutant
count=0
while IFS='|' read -r pattern script line; do
    IFS=: read -r file number code <<<"$line"
    what='without'
    [ "$pattern" = '*' ] || what='weaker'
    mutant "$copy" "$script" "$file" "$number" || die "nothing changed: $script in $line"
    step "$what $file:$number ${code#"${code%%[! ]*}"}" notices "$copy" "$pattern"
    count=$((count + 1))
done < <(mutants | sed -E 's| +//[^%]*$||')
rm -r "${copy%/mutant}"
echo "$count mutants"
