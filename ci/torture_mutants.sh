#!/usr/bin/env bash
# Proves: the torture detects broken rules of the protocol. Each mutant breaks one rule in a copy of
# the tree; each run of a minute must end with a fault. One mutant hangs at the end of its run,
# which takes a minute more to tell. Where the torture is blind, a test must fail instead. All take
# a quarter of an hour, so they are no part of every change. Arguments: the mutants, if not all.
# `--check` only applies each, and has the compiler look at it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# mutants: prints a line with the name and the folder of each mutant, then its sed commands. They
# must change exactly one file of the folder. `also` adds code. After the folder come the tests that
# detect it, if the torture does not:
#
# another_file_is_accepted  no worker renames a lock, and a removed file is refused anyway
# torn_records_pass         a record is half written for some nanoseconds
mutants() {
    cat <<'MUTANTS'
no_proof std-shell/src
    s/asked == Some\(OwnerState::Alive\)/asked == Some(OwnerState::Unknown)/
    s/if !\(was_asked \|\| is_dead\(.*\) \{/if false {/
    s/(let _proof = .*)\?;/\1;/
overdue_is_dead std-shell/src
    s/asked == Some\(OwnerState::Alive\)/& \&\& !overdue(owner)/
    s/if !\(was_asked \|\| /if !(was_asked || overdue(owner) || /
    s/(let _proof = .*)\?;/\1;/
no_adoption std-shell/src
    s/let _proof = .*;//
no_second_look core/src
    /^pub fn take_over/,/^}/s/while seen.is_owned_by\(dead\)/while !seen.is_free()/
no_declare_stale std-shell/src
    s/token::free_stale\(region, .*;//
blind_release core/src
    /^fn (give|release_as)\(/,/^}/{
    s/word.compare_exchange\((seen.bits\(\)), (.*\(seen\).bits\(\)), Relaxed, Relaxed\)/Ok(\2)/
    s/Ok\(([^)]*\(seen\).bits\(\))\)/Ok::<u32, u32>(word.swap(\1, Relaxed))/
    }
guard_of_an_earlier_hold std-shell/src
    s/epoch != self.holds.guard_epoch\(\) \|\| //
no_presence std-shell/src
    s/ofd::try_lock\(fd, Kind::Read, PRESENCE\)/ofd::is_locked(fd, PRESENCE).map(|_| true)/
another_file_is_accepted std-shell/src -p shmlock-tests --test flaw_12_removed_files
    /fn open_second/,/^    }/s/if b.identity\(\) != a.identity\(\) \{/if false {/
word_does_not_keep_the_file std-shell/src
    /fn allows_unlink/,/^    }/s/if self == Self::Always \{/if true {/
presence_kept_while_closing std-shell/src
    /^impl Drop for Attachment/,/^}/s/^        drop\(mapping\);/        mapping.forget();/
no_wake std-shell/src
    s/futex::wake\(word, Flags::empty\(\), waiters\)/Ok(word.as_ptr() as usize \& waiters as usize \& 0)/
no_sticky_waiters core/src
    s/\*+(self\.)?(arrival|next) = Attempt::AfterWaiting;//
cancel_without_wake core/src
    s/Err\(cancel_wait\(word, seen, .*\)\)/Err(seen)/
recovery_is_not_reported core/src
    s/owner_died: true, recovered_from/owner_died: false, recovered_from/
died_is_lost core/src
    s/Self\(me.get\(\) \| DIED \| WAITERS\)/Self(me.get() | WAITERS)/
no_fencing_token core/src
    s/words.generation.store\(low, Relaxed\);//
torn_records_pass core/src -p shmlock-core --test record_readers
    s/let whole = .*/let whole = before | after | 1 == 1 || true;/
child_is_parent std-shell/src
    s/self.present.load\(Relaxed\) == self.generation/self.present.load(Relaxed) != u32::MAX/
MUTANTS
}

# also NAME FILE: adds the code that a mutant needs.
also() {
    [ "$1" = overdue_is_dead ] || return 0
    cat >>"$2" <<'RUST'

/// Returns `true` if this thread has seen the same owner for a quarter of a second.
fn overdue(owner: Token) -> bool {
    use std::cell::Cell;
    use std::time::{Duration, Instant};
    thread_local!(static SEEN: Cell<Option<(Token, Instant)>> = const { Cell::new(None) });
    match SEEN.get() {
        Some((seen, since)) if seen == owner => since.elapsed() > Duration::from_millis(250),
        _ => {
            SEEN.set(Some((owner, Instant::now())));
            false
        }
    }
}
RUST
}

# copy SOURCES: copies the tree without the files that no build reads.
copy() {
    rm -rf "$1" && mkdir -p "$1"
    cp -r Cargo.toml Cargo.lock clippy.toml core std-shell tests ci "$1"
    sed -i '/^members = /,/^\]/c members = ["core", "std-shell", "tests"]' "$1/Cargo.toml"
}

# mutate NAME FOLDER COMMANDS SOURCES: prints the file that it changes.
mutate() {
    local changed=() file
    find "$4/$2" -name '*.rs' -exec sed -i -E "$3" {} +
    while read -r file; do changed+=("$file"); done < <(cd "$4" && diff -rq "$OLDPWD/$2" "$2" |
        sed -n 's/^Files .* and \(.*\) differ$/\1/p')
    [ ${#changed[@]} = 1 ] || die "$1 changes ${#changed[@]} files in $2: ${changed[*]}"
    also "$1" "$4/${changed[0]}"
    echo "${changed[0]}"
}

# failing_test SOURCES TESTS: prints the first that fails.
failing_test() {
    local arguments
    read -ra arguments <<<"$2"
    cd "$1"
    export RUSTFLAGS=-Awarnings
    cargo test --quiet --no-run "${arguments[@]}" >&2 || return
    timeout 400 cargo test --no-fail-fast "${arguments[@]}" 2>&1 </dev/null |
        sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' | head -n 1 || true # the failure is the purpose
}

# report NAME SECONDS FAULT
report() {
    case $3 in 'NOT DETECTED' | 'DOES NOT COMPILE') failed=1 ;; esac
    table+=$(printf '%-28s %6s s  %s' "$@")$'\n'
    printf '%s' "$table" | tail -1
}

# run NAME FOLDER COMMANDS TESTS
run() {
    local name=$1 status=0 seconds fault file
    copy "$mutant"
    file=$(mutate "$1" "$2" "$3" "$mutant")
    seconds=$SECONDS
    if [ -n "$check" ]; then
        fault="compiles, with a change of $file"
        (cd "$mutant" && RUSTFLAGS=-Awarnings cargo check --quiet -p shmlock --lib) ||
            fault='DOES NOT COMPILE'
        report "$name" $((SECONDS - seconds)) "$fault"
        return
    fi
    if [ -n "$4" ]; then
        fault=$(failing_test "$mutant" "$4") || fault='DOES NOT COMPILE'
        report "$name" $((SECONDS - seconds)) "${fault:-NOT DETECTED}"
        return
    fi
    RUSTFLAGS=-Awarnings timeout 400 bash "$mutant/ci/torture.sh" 60 1 \
        >"$mutant.log" 2>&1 </dev/null || status=$?
    grep -q '^seed ' "$mutant.log" || { cat "$mutant.log" && die "$name did not run"; }
    seconds=$(sed -n 's/^seed .*, \(.*\) s$/\1/p' "$mutant.log")
    # A machine that is too busy for a thousand kills a minute has detected nothing.
    fault=$(grep -v 'too few to show' "$mutant.log" | grep -m1 -oE 'FAULT [^:(]*' || true)
    if [ -z "$fault" ] || [ "$status" -eq 0 ]; then fault='NOT DETECTED'; fi
    report "$name" "$seconds" "${fault#FAULT }"
}

check=''
[ "${1:-}" != --check ] || { check=yes && shift; }
wanted=" $* "
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
CARGO_TARGET_DIR=$(realpath "$CARGO_TARGET_DIR")/mutants
mutant=$(mktemp -d)/mutant
table='' failed=0
while read -r name folder tests <&3; do
    commands=$(mutants | sed -n "/^$name /,/^[a-z]/s/^    //p")
    [[ $wanted != *[a-z]* || $wanted == *" $name "* ]] || continue
    run "$name" "$folder" "$commands" "$tests"
done 3< <(mutants | grep '^[a-z]')
rm -r "${mutant%/mutant}"
printf '\n%s' "$table"
exit "$failed"
