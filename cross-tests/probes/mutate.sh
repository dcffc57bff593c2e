# Sourced by run.sh --mutate and ci/litmus.sh --mutate: in a copy, removes each line of core that
# makes or calls a fence, then weakens it where a weaker instruction exists. `check` must detect it
# in the probes of every kind of core that has the difference.
# `only` restricts it to the lines of this pattern.
# shellcheck shell=bash disable=SC2154 # `kinds` comes from listing.sh

# without: prints the lines to remove, as FILE:NUMBER:LINE; not those in `unprobed`, a pattern.
without() {
    grep -rnE '(fence|FullSystem)\.(acquire|release|full)\(\);' core/src |
        grep -vE "^(${unprobed:-none}):" | sort
    local calls='fence\(Ordering|barrier::full_system|.*=> (InnerShareable|FullSystem)\.'
    grep -HnE "^ +($calls)" core/src/fence.rs
    grep -Hn 'asm!("dmb sy"' core/src/barrier.rs
}

# mutants: prints the kinds of core that must detect it, the sed script, and the line, as
# KINDS|SCRIPT|FILE:NUMBER:LINE. Cortex-M has one barrier only, ARMv7-A none for loads alone.
mutants() {
    local line
    # An arm of a `match` keeps its pattern; a statement is removed.
    without | sed 's/^/*|s%=> .*%=> {}%;t;s%[A-Za-z:._!]+\\(.*;%\/\/ removed%|/'
    while IFS= read -r line; do
        case $line in
            *'FullSystem.acquire();'*)
                echo "a*|s/FullSystem\.acquire/crate::fence::InnerShareable.acquire/|$line"
                ;;
            *'fence.release();'*) echo "aarch64|s/release/acquire/|$line" ;;
            *'fence(Ordering::Release);'*) echo "aarch64|s/Release/Acquire/|$line" ;;
            *'barrier::full_system();'*)
                echo "a*|s/barrier::full_system\(\)/fence(Ordering::AcqRel)/|$line"
                ;;
            *'=> FullSystem.'*) echo "a*|s/=> FullSystem/=> InnerShareable/|$line" ;;
            *'"dmb sy"'*) echo "a*|s/dmb sy/dmb ish/|$line" ;;
        esac
    done < <(without)
}

# detected SOURCES KINDS: builds and checks the probes for every kind of this pattern; fails if a
# kind does not detect the mutant.
detected() {
    local kind status undetected=0
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC2053 # a pattern
        [[ ${kind%% *} == $2 ]] || continue
        status=0
        # shellcheck disable=SC2086 # words
        check "$1" $kind >/dev/null 2>"$1/errors" || status=$?
        case $status in
            0) printf '    %-44s NOT detected\n' "${kind#* }" && undetected=1 ;;
            1) printf '    %-44s detected\n' "${kind#* }" ;;
            *) cat "$1/errors" && return 2 ;;
        esac
    done
    return "$undetected"
}

# mutant SOURCES SCRIPT FILE NUMBER: makes a copy with this line changed; fails if it is unchanged.
mutant() {
    rm -rf "$1" && mkdir -p "$1/cross-tests"
    cp -r Cargo.toml core "$1"
    sed -i '/^members = /,/^\]/c members = ["core"]' "$1/Cargo.toml"
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
    mutant "$copy" "$script" "$file" "$number" || die "no change by $script in $line"
    step "$what $file:$number ${code#"${code%%[! ]*}"}" detected "$copy" "$pattern"
    count=$((count + 1))
done < <(mutants | sed -E 's| +//[^%]*$||' | grep -E "${only:-}")
rm -r "${copy%/mutant}"
echo "$count mutants"
