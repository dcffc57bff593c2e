//! Tests the loop around the steps: its calls of `Wait` and `Liveness`, their order, and its
//! answers.

mod common;

use core::cell::RefCell;
use core::sync::atomic::Ordering::Relaxed;

use common::{
    DIED, FLAGS, ProofBy, RESERVED, WAITERS, WaitBy, flags, found_free, probing, token, token_part,
    words,
};
use shmlock_core::contend::{Liveness, acquire_contended};
use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::Acquisition;
use shmlock_core::wait::{WaitAction, WaitContext};
use shmlock_core::{AtomicU32, Token, Word};

const ME: u32 = 70_000;
const OTHER: u32 = 70_001;
const THIRD: u32 = 70_002;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    /// `Wait` was called for this attempt, with this word seen.
    Wait(u32, u32),
    /// `Liveness` was called for this owner.
    Probe(u32),
}
use Call::{Probe, Wait};

/// Contends as `ME` with scripted traits; returns the answer and the calls in their order.
fn contend(
    word: &AtomicU32,
    mut wait: impl FnMut(&mut WaitContext<'_>) -> WaitAction,
    mut dead: impl FnMut(Token) -> bool,
) -> (Result<Acquisition, Word>, Vec<Call>) {
    let calls = RefCell::default();
    let mut waiting = WaitBy(|context: &mut WaitContext<'_>| {
        let call = Wait(context.attempt(), context.seen().bits());
        Vec::push(&mut calls.borrow_mut(), call);
        assert!(calls.borrow().len() < 100, "this goes on for ever");
        wait(context)
    });
    let mut proofs = ProofBy(|owner: Token| {
        calls.borrow_mut().push(Probe(owner.get()));
        dead(owner)
    });
    let answer = acquire_contended(word, token(ME), InnerShareable, &mut proofs, &mut waiting);
    (answer, calls.into_inner())
}

/// Returns these actions in turn, then gives up.
fn actions<const N: usize>(
    actions: [WaitAction; N],
) -> impl FnMut(&mut WaitContext<'_>) -> WaitAction {
    move |context| actions.get(context.attempt() as usize).copied().unwrap_or(WaitAction::GiveUp)
}

fn none_dead(_: Token) -> bool {
    false
}

fn recovered(from: u32) -> Acquisition {
    Acquisition { owner_died: true, recovered_from: Some(token(from)) }
}

#[test]
fn a_free_lock_is_acquired_without_a_call() {
    for flags in FLAGS {
        let word = AtomicU32::new(flags);
        assert_eq!(contend(&word, actions([]), none_dead), (Ok(found_free(flags)), vec![]));
        assert_eq!(word.into_inner(), ME | flags, "no waiter, so no flag is added");
    }
}

#[test]
fn an_owner_is_probed_only_when_the_wait_asks_for_it() {
    let word = AtomicU32::new(OTHER);
    let (answer, calls) = contend(&word, actions([WaitAction::Retry; 3]), |_| true);
    assert_eq!(answer, Err(Word::from_bits(OTHER)));
    assert_eq!(calls, [Wait(0, OTHER), Wait(1, OTHER), Wait(2, OTHER), Wait(3, OTHER)]);

    let (answer, calls) = contend(
        &word,
        actions([WaitAction::Retry, WaitAction::Probe, WaitAction::Retry]),
        none_dead,
    );
    assert_eq!(answer, Err(Word::from_bits(OTHER)));
    assert_eq!(
        calls,
        [Wait(0, OTHER), Wait(1, OTHER), Probe(OTHER), Wait(2, OTHER), Wait(3, OTHER)]
    );
    assert_eq!(word.into_inner(), OTHER, "without a sleep, WAITERS is not set");
}

#[test]
fn a_lock_that_is_released_during_a_wait_is_acquired() {
    for action in [WaitAction::Retry, WaitAction::Probe] {
        let word = AtomicU32::new(OTHER);
        let free = |context: &mut WaitContext<'_>| {
            context.word().store(DIED, Relaxed);
            assert!(context.looks_free());
            action
        };
        assert_eq!(contend(&word, free, none_dead).0, Ok(found_free(DIED)));
        assert_eq!(word.into_inner(), ME | DIED);
    }
}

#[test]
fn an_acquisition_after_a_sleep_sets_waiters_however_long_ago_the_sleep_was() {
    let word = AtomicU32::new(OTHER);
    let script = |context: &mut WaitContext<'_>| {
        match context.attempt() {
            0 => assert_eq!(context.set_waiters(), Ok(Word::from_bits(OTHER | WAITERS))),
            1 => context.word().store(THIRD, Relaxed),
            _ => context.word().store(0, Relaxed),
        }
        WaitAction::Retry
    };
    let (answer, calls) = contend(&word, script, none_dead);
    assert_eq!(answer, Ok(found_free(0)));
    assert_eq!(calls, [Wait(0, OTHER), Wait(1, OTHER | WAITERS), Wait(2, THIRD)]);
    assert_eq!(word.into_inner(), ME | WAITERS);
}

#[test]
fn setting_waiters_too_late_leaves_no_flag_and_returns_the_present_word() {
    let word = AtomicU32::new(OTHER);
    let script = |context: &mut WaitContext<'_>| {
        context.word().store(0, Relaxed);
        assert_eq!(context.set_waiters(), Err(Word::FREE));
        WaitAction::Retry
    };
    assert_eq!(contend(&word, script, none_dead).0, Ok(found_free(0)));
    assert_eq!(word.into_inner(), ME);
}

/// Sets WAITERS, sees an owner that does not know of the other waiters, and gives up.
fn overtaken_after(marked_attempts: u32) -> (Result<Acquisition, Word>, u32) {
    let word = AtomicU32::new(OTHER);
    let script = |context: &mut WaitContext<'_>| {
        assert_eq!(context.set_waiters(), Ok(Word::from_bits(OTHER | WAITERS)));
        if context.attempt() + 1 < marked_attempts {
            return WaitAction::Retry;
        }
        context.word().store(THIRD | DIED, Relaxed);
        WaitAction::GiveUp
    };
    let answer = contend(&word, script, none_dead).0;
    (answer, word.into_inner())
}

#[test]
fn a_waiter_that_gives_up_sets_waiters_again_for_the_others() {
    assert_eq!(overtaken_after(1).1, THIRD | DIED | WAITERS);
}

#[test]
fn a_waiter_that_gives_up_after_many_sleeps_sets_waiters_again_for_the_others() {
    assert_eq!(overtaken_after(2).1, THIRD | DIED | WAITERS);
}

#[test]
fn a_lock_is_recovered_while_the_proof_stands() {
    struct Watching<'a>(&'a AtomicU32);
    impl Liveness for Watching<'_> {
        fn while_dead<R>(&mut self, _: Token, act: impl FnOnce() -> R) -> Option<R> {
            assert_eq!(self.0.load(Relaxed), OTHER);
            let answer = act();
            assert_eq!(
                self.0.load(Relaxed),
                ME | WAITERS | DIED,
                "the word moves before the proof is dropped"
            );
            Some(answer)
        }
    }
    let word = AtomicU32::new(OTHER);
    let answer =
        acquire_contended(&word, token(ME), InnerShareable, &mut Watching(&word), &mut probing(1));
    assert_eq!(answer, Ok(recovered(OTHER)));
}

#[test]
fn an_owner_that_acquired_and_died_during_one_wait_is_recovered_from_after_that_wait() {
    let word = AtomicU32::new(OTHER);
    let script = |context: &mut WaitContext<'_>| {
        context.word().store(THIRD | WAITERS, Relaxed);
        WaitAction::Probe
    };
    let (answer, calls) = contend(&word, script, |owner| owner == token(THIRD));
    assert_eq!(answer, Ok(recovered(THIRD)));
    assert_eq!(calls, [Wait(0, OTHER), Probe(THIRD)], "not one interval later");
}

#[test]
fn flags_that_change_during_the_probe_do_not_prevent_the_recovery() {
    for (before, now) in
        FLAGS.into_iter().flat_map(|before| FLAGS.map(|now| (OTHER | before, OTHER | now)))
    {
        let word = AtomicU32::new(before);
        let proof = |_| {
            word.store(now, Relaxed);
            true
        };
        assert_eq!(contend(&word, actions([WaitAction::Probe]), proof).0, Ok(recovered(OTHER)));
        assert_eq!(word.into_inner(), ME | WAITERS | DIED);
    }
}

#[test]
fn a_proof_that_comes_after_the_word_has_changed_robs_no_owner() {
    for now in [THIRD, THIRD | WAITERS | DIED, RESERVED] {
        let word = AtomicU32::new(OTHER);
        let proof = |_| {
            word.store(now, Relaxed);
            true
        };
        let (answer, calls) = contend(&word, actions([WaitAction::Probe]), proof);
        assert_eq!(answer, Err(Word::from_bits(now)));
        assert_eq!(calls, [Wait(0, OTHER), Probe(OTHER), Wait(1, now)]);
        assert_eq!(word.into_inner(), now);
    }
}

#[test]
fn every_word_leads_to_an_answer_that_fits_it() {
    for bits in words().into_iter().chain(FLAGS.map(|flags| ME | flags)) {
        let word = AtomicU32::new(bits);
        let (answer, calls) = contend(&word, actions([]), |_| unreachable!("no probe"));
        let (expected, after, waits) = match token_part(bits) {
            0 => (Ok(found_free(bits)), ME | flags(bits), vec![]),
            ME => (Ok(recovered(ME)), ME | WAITERS | DIED, vec![]),
            _ => (Err(Word::from_bits(bits)), bits, vec![Wait(0, bits)]),
        };
        assert_eq!((answer, calls, word.into_inner()), (expected, waits, after));
    }
}

#[test]
fn the_reserved_token_is_waited_for_and_probed_like_any_other() {
    let word = AtomicU32::new(RESERVED | DIED);
    assert_eq!(
        contend(&word, actions([WaitAction::Probe]), none_dead).0,
        Err(Word::from_bits(RESERVED | DIED))
    );
    assert_eq!(contend(&word, actions([WaitAction::Probe]), |_| true).0, Ok(recovered(RESERVED)));
}

#[test]
fn a_liveness_that_acts_and_then_denies_it_loses_no_lock() {
    struct Fickle;
    impl Liveness for Fickle {
        fn while_dead<R>(&mut self, _: Token, act: impl FnOnce() -> R) -> Option<R> {
            let _ = act();
            None
        }
    }
    let word = AtomicU32::new(OTHER);
    let answer = acquire_contended(&word, token(ME), InnerShareable, &mut Fickle, &mut probing(9));
    assert_eq!(answer, Ok(recovered(ME)));
}
