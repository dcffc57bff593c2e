# Sourced by ci/loom.sh --mutate [PART OF A NAME]. Breaks a copy of core in one place at a time; a
# model has to fail.
# shellcheck shell=bash disable=SC2154 # `models` comes from loom.sh

# The fault @ the file @ the sed script @ the model to run first. A script that changes nothing is
# an error: the code has changed, and the list has to follow.
mutations() {
    cat <<'LIST'
try_acquire without its fence @ src/protocol.rs @ /^pub fn try_acquire</,/^}/s/fence\.acquire();// @ two_actors_exclude
release without its fence @ src/protocol.rs @ /^pub fn release</,/^}/s/fence\.release();// @ two_actors_exclude
try_acquire_fast without its fence @ src/protocol.rs @ /^pub fn try_acquire_fast/,/^}/s/fence\.acquire();// @ each_other_undisturbed
release_fast without its fence @ src/protocol.rs @ /^pub fn release_fast/,/^}/s/fence\.release();// @ each_other_undisturbed
release_without_wake without its fence @ src/protocol.rs @ /^pub fn release_without_wake/,/^}/s/fence\.release();// @ release_without_wake_exclude
a release without wake drops WAITERS @ src/word.rs @ /fn released_keeping_waiters/,/}/s/(WAITERS | DIED)/DIED/ @ release_without_wake_leaves
claiming the wake leaves the flag @ src/word.rs @ /fn without_waiters/,/}/s/self\.0 & !WAITERS/self.0/ @ release_without_wake_exclude
the wake is never claimed @ src/protocol.rs @ /^pub fn claim_wake/,/^}/s/return Wake::One/return Wake::None/ @ release_without_wake_leaves
abandon without its fence @ src/protocol.rs @ /^pub fn abandon/,/^}/s/fence\.release();// @ before_it_abandoned
take_over without its fence @ src/protocol.rs @ /^pub fn take_over/,/^}/s/fence\.acquire();// @ proof_of_its_death
declare_stale without its fence @ src/protocol.rs @ /^pub fn declare_stale/,/^}/s/fence\.release();// @ new_process_freed
write_encoded without its first fence @ src/record/access.rs @ s/fence\.release();\(.*sees it odd\)/\1/ @ being_rewritten
write_encoded without its second fence @ src/record/access.rs @ s/fence\.release();\(.*sees all words\)/\1/ @ being_rewritten
record_of without its first fence @ src/record/access.rs @ s/fence\.acquire();\(.*the second\)/\1/ @ being_rewritten
record_of without its second fence @ src/record/access.rs @ s/fence\.acquire();\(.*the first\)/\1/ @ being_rewritten
inner-shareable: no fence after the acquisition @ src/fence.rs @ s/fence(Ordering::Acquire);// @ two_actors_exclude
inner-shareable: no fence before the release @ src/fence.rs @ s/fence(Ordering::Release);// @ two_actors_exclude
inner-shareable: the acquire fence only releases @ src/fence.rs @ s/Ordering::Acquire/Ordering::Release/ @ two_actors_exclude
inner-shareable: the release fence only acquires @ src/fence.rs @ s/Ordering::Release/Ordering::Acquire/ @ two_actors_exclude
full system: no fence after the acquisition @ src/fence.rs @ /for FullSystem/,/^}/{/fn acquire/,/}/s/barrier::.*//} @ full_system
full system: no fence before the release @ src/fence.rs @ /for FullSystem/,/^}/{/fn release/,/}/s/barrier::.*//} @ full_system
full system: both only acquire @ src/barrier.rs @ s/Ordering::SeqCst/Ordering::Acquire/ @ full_system
full system: both only release @ src/barrier.rs @ s/Ordering::SeqCst/Ordering::Release/ @ full_system
scope chosen late, inner: no fence after the acquisition @ src/fence.rs @ s/=> InnerShareable\.acquire()/=> {}/ @ two_actors_exclude
scope chosen late, inner: no fence before the release @ src/fence.rs @ s/=> InnerShareable\.release()/=> {}/ @ two_actors_exclude
scope chosen late, full: no fence after the acquisition @ src/fence.rs @ s/=> FullSystem\.acquire()/=> {}/ @ full_system
scope chosen late, full: no fence before the release @ src/fence.rs @ s/=> FullSystem\.release()/=> {}/ @ full_system
taking over drops WAITERS @ src/word.rs @ /fn recovered_by/,/}/s/ | WAITERS// @ both_rivals_acquire
taking over does not set DIED @ src/word.rs @ /fn recovered_by/,/}/s/ | DIED// @ both_rivals_acquire
acquiring drops DIED @ src/word.rs @ /fn acquired_by/,/}/s/ | DIED// @ before_it_abandoned
releasing drops DIED @ src/word.rs @ /fn released(/,/}/s/self.0 & DIED/0/ @ both_rivals_acquire
abandoning does not set DIED @ src/word.rs @ /fn abandoned/,/}/s/DIED/0/ @ before_it_abandoned
declaring consistent drops WAITERS @ src/word.rs @ /fn declared_consistent/,/}/s/!DIED/!(DIED | WAITERS)/ @ once_the_data_is_consistent
declaring consistent keeps DIED @ src/word.rs @ /fn declared_consistent/,/}/s/ & !DIED// @ once_the_data_is_consistent
a waiter acquires without WAITERS @ src/protocol.rs @ s/\(Attempt::AfterWaiting => .*\)\.with_waiters()/\1/ @ a_woken_waiter
a waiter forgets that it has set WAITERS @ src/wait.rs @ s/\*\*next = Attempt::AfterWaiting;// @ a_woken_waiter
a waiter does not set WAITERS @ src/protocol.rs @ /^pub fn set_waiters/,/^}/s/seen\.with_waiters()/seen/ @ of_two_actors
releasing owes no wake @ src/protocol.rs @ /fn owed_by/,/}/s/before\.has_waiters()/false/ @ of_two_actors
a waiter that gives up does not set WAITERS again @ src/contend.rs @ s/Err(cancel_wait(.*))/Err(seen)/ @ that_gives_up
a waiter that gives up does not learn that the lock is free @ src/contend.rs @ s/Err(now) => seen = now,/Err(_) => break,/ @ that_gives_up
taking over from a living owner @ src/protocol.rs @ s/while seen\.is_owned_by(dead)/while !seen.is_free()/ @ another_token
taking over after the proof is dropped @ src/contend.rs @ s/while_dead(owner, || \(.*\))?/while_dead(owner, || ()).and_then(|()| \1)/ @ same_token
a stale word is left alone @ src/protocol.rs @ s/release_as(word, token, Word::abandoned)\.ok()/None/ @ blocks_no_waiter
a stale word is freed without DIED @ src/protocol.rs @ s/release_as(word, token, Word::abandoned)/release_as(word, token, Word::released)/ @ new_process_freed
an acquisition is not counted @ src/counters.rs @ s/words\.generation\.store(low, Relaxed);// @ two_actors_exclude
the count of another handle is overlooked @ src/counters.rs @ s/if others_counted | wraps/if wraps/ @ has_counted_in_between
an inner release frees the lock @ src/lock/change.rs @ /fn leave/,/^    }/s/!self\.holds\.is_single(kind)/false/ @ an_inner_release
the record's sequence is never odd @ src/record/access.rs @ s/words\.record_sequence\.store(writing, Relaxed);// @ being_rewritten
an odd sequence is as good as an even one @ src/record/access.rs @ s/before == after && before % 2 == 0/before == after/ @ half_written
the two sequences need not agree @ src/record/access.rs @ s/before == after && before % 2 == 0/before % 2 == 0/ @ being_rewritten
both sequences are read before the record @ src/record/access.rs @ s/let before = words.*/&\nlet early = words.record_sequence.load(Relaxed);/;s/let after = .*/let after = early;/ @ being_rewritten
the record's token is not compared @ src/record/access.rs @ s/(whole && token == owner\.get())/whole/ @ owner_before
a boot begins without the fence before its count @ src/roll/mod.rs @ /what the boot before wrote/{n;s/self\.fence\.release();//} @ was_reset_inside
a boot begins without the fence after its count @ src/roll/mod.rs @ /sees this count\./{n;s/self\.fence\.release();//} @ just_been_counted
a boot is retired without a fence @ src/roll/mod.rs @ /what the core wrote/{n;s/self\.fence\.release();//} @ a_retired_boot
the roll is read without a fence @ src/roll/mod.rs @ /fn is_over/,/^    }/s/self\.fence\.acquire();// @ just_been_counted
a boot uses its token before it is counted @ src/roll/mod.rs @ /fn begin_boot/,/^    }/s/boots\.store(present\.number(), Relaxed);// @ just_been_counted
the present boot counts as over @ src/roll/boot.rs @ s/0 => boots != 0 \&\& retired == boots,/0 => true,/ @ just_been_counted
a boot does not free what the one before held @ src/lock/boot.rs @ s/lock\.wake(region.*/let _ = Wake::None;/ @ was_reset_inside
tickets: no fence after the store of CHOOSING @ src/ticket/steps.rs @ /fn choose/,/}/s/self\.fence\.full();// @ exclude_each_other_by_tickets
tickets: no fence after the doorway @ src/ticket/steps.rs @ /fn take/,/}/s/self\.fence\.full();// @ exclude_each_other_by_tickets
tickets: no fence after the waits @ src/ticket/steps.rs @ /fn pass_all/,/^    }/s/self\.fence\.acquire();// @ exclude_each_other_by_tickets
tickets: no fence before the release @ src/ticket/steps.rs @ /fn leave/,/^    }/s/self\.fence\.release();// @ exclude_each_other_by_tickets
tickets: choosing parties are not waited for @ src/ticket/steps.rs @ s/Self::Choosing => value != 0/Self::Choosing => false/ @ exclude_each_other_by_tickets
tickets: the number is not one above the highest @ src/ticket/words.rs @ s/Some(highest + 1)/Some(if highest > 1 { highest } else { 1 })/ @ exclude_each_other_by_tickets
tickets: the release keeps INSIDE @ src/ticket/steps.rs @ s/section\.store(inside\.left()\.bits(), Relaxed);// @ exclude_each_other_by_tickets
tickets: a new life counts no death @ src/ticket/steps.rs @ s/section\.store(before\.recovered()/section.store(before.left()/ @ that_restarts
tickets: the dead who have not come back do not count @ src/ticket/words.rs @ /fn deaths_if_dead/,/}/s/self\.0\.wrapping_add(INSIDE)/self.0/ @ survivors_with_proof
tickets: a look from outside does not read the count again @ src/ticket/region.rs @ s/stays && .* == count;/{ let _ = count; stays };/ @ takes_no_living_owner
tickets: a look from outside does not name the owner again @ src/ticket/region.rs @ s/let is_whole = stays && /let _ = stays;\n        let is_whole = / @ takes_no_living_owner
in the models: a sleep does not compare @ tests/loom/kernel.rs @ s/unchanged && alive/alive/ @ of_two_actors
LIST
}

# Faults that no model can detect, and what detects them instead.
unseen() {
    cat <<'LIST'
a former boot counts as alive @ tests/roll.rs and tests/boots.rs. No living owner is robbed, and the core itself still frees what it held.
claiming the wake of a held lock @ tests/state_table.rs. It wakes a waiter, which sets WAITERS again.
a release without wake drops DIED @ tests/state_table.rs, which knows each step from each word.
count_acquisition without its fence @ the probes of cross-tests. The proof of death orders the halves for the next owner; the fence keeps the compiler from swapping the two stores.
tickets: no fence between the number and the end of the doorway @ the litmus tests. Loom does not see that two owners come of it.
tickets: the fences of a new life, and the barrier after a store @ nothing here. The model searches the order of the stores, litmus tests their fences.
full system: both only acquire and release @ nothing off ARM, where this line is: no step needs a stronger order. On ARM it is an instruction, which the probes of cross-tests look for.
after a wait, the former owner is probed @ tests/contend.rs. A death is found one interval later, and nothing else is wrong.
holder() does not read the owner word again @ tests/record_readers.rs. The record was true when the read began, so no model fails.
LIST
}

# Always the same place, so that cargo builds the dependencies once. It has a target directory of
# its own: otherwise two workspaces that look alike use each other's core.
copy=$CARGO_TARGET_DIR/mutant
export CARGO_TARGET_DIR=$copy/target RUST_BACKTRACE=0

# mutate FILE SCRIPT: a fresh copy, broken.
mutate() {
    mkdir -p "$copy" && rm -rf "$copy/core"
    cp -r Cargo.toml Cargo.lock core "$copy"
    sed -i '/^members = /,/^\]/c members = ["core"]' "$copy/Cargo.toml"
    sed -i "$2" "$copy/core/$1"
    ! diff -q "core/$1" "$copy/core/$1" >/dev/null || die "changes nothing in core/$1: $2"
}

# first_failure [MODEL]: runs the models, prints the first that fails.
first_failure() {
    local log=$copy/log
    timeout 600 "$binary" "$@" >"$log" 2>&1 || [ $? = 101 ] ||
        die "the models did not end as tests do: $log"
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | head -n 1
}

survivors=0
while IFS=@ read -r name file script model; do
    [[ $name = *${2:-}* ]] || continue
    read -r name <<<"$name" && read -r file <<<"$file" && read -r model <<<"$model"
    script=${script# } script=${script% }
    mutate "$file" "$script"
    binary=$(cargo test --quiet --manifest-path "$copy/Cargo.toml" "${models[@]}" --no-run \
        --message-format=json | sed -n 's/.*"executable":"\([^"]*\/loom-[^"]*\)".*/\1/p') ||
        die "does not compile: $name"
    noticed=$(first_failure "$model")
    [ -n "$noticed" ] || noticed=$(first_failure)
    [ -n "$noticed" ] || survivors=$((survivors + 1))
    printf '%-52s %s\n' "$name" "${noticed:-SURVIVED}"
done < <(mutations)
while IFS=@ read -r name other; do
    printf '%-52s not seen here:%s\n' "${name% }" "$other"
done < <(unseen)
echo "$survivors survived, $((SECONDS / 60)) min $((SECONDS % 60)) s"
[ "$survivors" = 0 ]
