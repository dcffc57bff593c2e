#!/usr/bin/env bash
# Proves: the torture sees what it is there to see. Rules of the protocol are broken one at a time in a copy of the tree;
# each run has to end with a fault, within its minute. Not part of every change: it takes a quarter of an hour.
# Arguments: which mutants, if not all.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

# mutants: a name; a file; what sed does to it. A rule that takes more than a line to break is in `also`.
mutants() {
    cat <<'MUTANTS'
no_proof|std-shell/src/liveness.rs|s/!= OwnerState::Dead \{$/== OwnerState::Unknown {/; s/(let _adopted = .*)\?;/\1;/
overdue_is_dead|std-shell/src/liveness.rs|s/!= OwnerState::Dead \{$/!= OwnerState::Dead \&\& !overdue(owner) {/; s/(let _adopted = .*)\?;/\1;/
look_without_adoption|std-shell/src/liveness.rs|s/let _adopted = .*;//
no_second_look|core/src/protocol.rs|/^pub fn take_over/,/^}/s/while seen.is_owned_by\(dead\)/while !seen.is_free()/
no_declare_stale|std-shell/src/lock.rs|s/hold::free_stale\(.*;//
blind_release|core/src/protocol.rs|/^fn release_as/,/^}/s/word.compare_exchange\(seen.bits\(\), freed\(seen\).bits\(\), Relaxed, Relaxed\)/Ok::<u32, u32>(word.swap(freed(seen).bits(), Relaxed))/
guard_of_a_former_hold|std-shell/src/holds.rs|/fn drop_guard/,/^    }/s/let held = .*;/let held = true;/; /fn drop_guard/,/^    }/s/\(self.state.get\(\) \& !PLAIN\) - GUARD/(self.state.get() \& !PLAIN).wrapping_sub(GUARD)/
no_presence|std-shell/src/presence.rs|s/ofd::try_lock\(fd, Kind::Read, PRESENCE\)/ofd::is_locked(fd, PRESENCE).map(|_| true)/
another_file_is_fine|std-shell/src/shm.rs|s/ \|\| is_nameless\(a.as_fd\(\)\)//; s/if identity != other \{/if false {/
last_closer_judges_no_word|std-shell/src/shm.rs|s/if keep == Keep::Nothing \{/if true {/
presence_kept_while_closing|std-shell/src/shm.rs|/^impl Drop for Shared/,/^}/s/^        drop\(mapping\);/        mapping.forget();/
no_wake|std-shell/src/wait/futex.rs|/^pub\(crate\) fn wake_one/,/^}/s/futex::wake\(word, Flags::empty\(\), 1\)/word/
no_sticky_waiters|core/src/wait.rs|s/\*self.next = Attempt::AfterWaiting;//
leaves_the_queue_in_silence|core/src/contend.rs|s/Err\(cancel_wait\(word, seen, attempt\)\)/Err(seen)/
heir_is_not_told|core/src/protocol.rs|s/owner_died: true, recovered_from/owner_died: false, recovered_from/
mark_is_lost|core/src/word.rs|s/Self\(me.get\(\) \| DIED \| WAITERS\)/Self(me.get() | WAITERS)/
no_fencing_token|core/src/counters.rs|s/words.generation.store\(low, Relaxed\);//
torn_records_pass|core/src/record/access.rs|s/let whole = .*/let whole = before | after | 1 == 1 || true;/
child_is_parent|std-shell/src/fork.rs|s/self.present.load\(Relaxed\) == self.generation/self.present.load(Relaxed) != u32::MAX/
MUTANTS
}

# also NAME SOURCES: what a mutant needs beside its one expression.
also() {
    [ "$1" = overdue_is_dead ] || return 0
    cat >>"$2/std-shell/src/liveness.rs" <<'RUST'

/// Whether the same owner has been in the way of this thread for a quarter of a second.
fn overdue(owner: Token) -> bool {
    use std::time::{Duration, Instant};
    thread_local!(static SEEN: std::cell::Cell<Option<(Token, Instant)>> = const { std::cell::Cell::new(None) });
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

# copy SOURCES: the tree as it is, without what is not built.
copy() {
    rm -rf "$1" && mkdir -p "$1"
    cp -r Cargo.toml Cargo.lock clippy.toml core std-shell tests ci "$1"
    sed -i -E 's/^members = .*/members = ["core", "std-shell", "tests"]/' "$1/Cargo.toml"
}

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
CARGO_TARGET_DIR=$(realpath "$CARGO_TARGET_DIR")/mutants
mutant=$(mktemp -d)/mutant
table='' failed=0
while IFS='|' read -r name file expression; do
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    copy "$mutant"
    sed -i -E "$expression" "$mutant/$file"
    ! cmp -s "$file" "$mutant/$file" || die "$name changes nothing in $file"
    also "$name" "$mutant"
    status=0
    RUSTFLAGS=-Awarnings timeout 400 bash "$mutant/ci/torture.sh" 60 1 >"$mutant.log" 2>&1 </dev/null || status=$?
    grep -q '^seed ' "$mutant.log" || { cat "$mutant.log" && die "$name did not run"; }
    seconds=$(sed -n 's/^seed .*, \(.*\) s$/\1/p' "$mutant.log")
    noticed=$(grep -m1 -oE 'FAULT [^:(]*' "$mutant.log" || true)
    [ "$status" -ne 0 ] || { noticed='NOT NOTICED' failed=1; }
    table+=$(printf '%-28s %6s s  %s' "$name" "$seconds" "${noticed#FAULT }")$'\n'
    printf '%s' "$table" | tail -1
done < <(mutants)
rm -r "${mutant%/mutant}"
printf '\n%s' "$table"
exit "$failed"
