//! The loop around the steps: what it asks of waiting and of proofs of death, in which order, and
//! what it answers.

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
    /// Waiting was asked for, for this attempt, with this word seen.
    Wait(u32, u32),
    /// A proof of this owner's death was asked for.
    Probe(u32),
}
use Call::{Probe, Wait};

/// Contends as `ME` with scripted seams; gives back the answer and the calls in their order.
fn contend(
    word: &AtomicU32,
    mut wait: impl FnMut(&mut WaitContext<'_>) -> WaitAction,
    mut dead: impl FnMut(Token) -> bool,
) -> (Result<Acquisition, Word>, Vec<Call>) {
    let calls = RefCell::default();
    let mut waiting = WaitBy(|contention: &mut WaitContext<'_>| {
        let call = Wait(contention.attempt(), contention.seen().bits());
        Vec::push(&mut calls.borrow_mut(), call);
        assert!(calls.borrow().len() < 100, "this goes on for ever");
        wait(contention)
    });
    let mut proofs = ProofBy(|owner: Token| {
        calls.borrow_mut().push(Probe(owner.get()));
        dead(owner)
    });
    let answer = acquire_contended(word, token(ME), InnerShareable, &mut proofs, &mut waiting);
    (answer, calls.into_inner())
}

/// Answers in turn, then gives up.
fn answers<const N: usize>(
    verdicts: [WaitAction; N],
) -> impl FnMut(&mut WaitContext<'_>) -> WaitAction {
    move |contention| {
        verdicts.get(contention.attempt() as usize).copied().unwrap_or(WaitAction::GiveUp)
    }
}

fn nobody(_: Token) -> bool {
    false
}

fn recovered(from: u32) -> Acquisition {
    Acquisition { owner_died: true, recovered_from: Some(token(from)) }
}

#[test]
fn a_free_lock_is_taken_without_a_call() {
    for flags in FLAGS {
        let word = AtomicU32::new(flags);
        assert_eq!(contend(&word, answers([]), nobody), (Ok(found_free(flags)), vec![]));
        assert_eq!(word.into_inner(), ME | flags, "nobody waited, so no flag is added");
    }
}

#[test]
fn an_owner_is_probed_only_when_the_wait_asks_for_it() {
    let word = AtomicU32::new(OTHER);
    let (answer, calls) = contend(&word, answers([WaitAction::Retry; 3]), |_| true);
    assert_eq!(answer, Err(Word::from_bits(OTHER)));
    assert_eq!(calls, [Wait(0, OTHER), Wait(1, OTHER), Wait(2, OTHER), Wait(3, OTHER)]);

    let (answer, calls) =
        contend(&word, answers([WaitAction::Retry, WaitAction::Probe, WaitAction::Retry]), nobody);
    assert_eq!(answer, Err(Word::from_bits(OTHER)));
    assert_eq!(
        calls,
        [Wait(0, OTHER), Wait(1, OTHER), Probe(OTHER), Wait(2, OTHER), Wait(3, OTHER)]
    );
    assert_eq!(word.into_inner(), OTHER, "who never marked leaves no mark");
}

#[test]
fn a_lock_that_comes_free_while_waiting_is_taken() {
    for verdict in [WaitAction::Retry, WaitAction::Probe] {
        let word = AtomicU32::new(OTHER);
        let free = |contention: &mut WaitContext<'_>| {
            contention.word().store(DIED, Relaxed);
            assert!(contention.looks_free());
            verdict
        };
        assert_eq!(contend(&word, free, nobody).0, Ok(found_free(DIED)));
        assert_eq!(word.into_inner(), ME | DIED);
    }
}

#[test]
fn an_acquisition_after_a_mark_keeps_waiters_however_long_ago_the_mark_was() {
    let word = AtomicU32::new(OTHER);
    let script = |contention: &mut WaitContext<'_>| {
        match contention.attempt() {
            0 => assert_eq!(contention.mark_waiting(), Ok(Word::from_bits(OTHER | WAITERS))),
            1 => contention.word().store(THIRD, Relaxed),
            _ => contention.word().store(0, Relaxed),
        }
        WaitAction::Retry
    };
    let (answer, calls) = contend(&word, script, nobody);
    assert_eq!(answer, Ok(found_free(0)));
    assert_eq!(calls, [Wait(0, OTHER), Wait(1, OTHER | WAITERS), Wait(2, THIRD)]);
    assert_eq!(word.into_inner(), ME | WAITERS);
}

#[test]
fn a_mark_that_came_too_late_leaves_no_flag_and_says_what_the_word_is_now() {
    let word = AtomicU32::new(OTHER);
    let script = |contention: &mut WaitContext<'_>| {
        contention.word().store(0, Relaxed);
        assert_eq!(contention.mark_waiting(), Err(Word::FREE));
        WaitAction::Retry
    };
    assert_eq!(contend(&word, script, nobody).0, Ok(found_free(0)));
    assert_eq!(word.into_inner(), ME);
}

/// Marks, is passed over by another owner who does not know of the other sleepers, and gives up.
fn passed_over_after(marked_attempts: u32) -> (Result<Acquisition, Word>, u32) {
    let word = AtomicU32::new(OTHER);
    let script = |contention: &mut WaitContext<'_>| {
        assert_eq!(contention.mark_waiting(), Ok(Word::from_bits(OTHER | WAITERS)));
        if contention.attempt() + 1 < marked_attempts {
            return WaitAction::Retry;
        }
        contention.word().store(THIRD | DIED, Relaxed);
        WaitAction::GiveUp
    };
    let answer = contend(&word, script, nobody).0;
    (answer, word.into_inner())
}

#[test]
fn who_gives_up_after_a_mark_marks_again_for_the_others() {
    assert_eq!(passed_over_after(1).1, THIRD | DIED | WAITERS);
}

#[test]
fn who_gives_up_after_many_marks_marks_again_for_the_others() {
    assert_eq!(passed_over_after(2).1, THIRD | DIED | WAITERS);
}

#[test]
fn a_dead_owner_is_replaced_while_the_proof_stands() {
    struct Watching<'a>(&'a AtomicU32);
    impl Liveness for Watching<'_> {
        fn while_dead<R>(&mut self, _: Token, act: impl FnOnce() -> R) -> Option<R> {
            assert_eq!(self.0.load(Relaxed), OTHER);
            let answer = act();
            assert_eq!(
                self.0.load(Relaxed),
                ME | WAITERS | DIED,
                "the word moves before the proof is let go"
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
fn an_owner_that_came_and_died_during_one_wait_is_replaced_after_that_wait() {
    let word = AtomicU32::new(OTHER);
    let script = |contention: &mut WaitContext<'_>| {
        contention.word().store(THIRD | WAITERS, Relaxed);
        WaitAction::Probe
    };
    let (answer, calls) = contend(&word, script, |owner| owner == token(THIRD));
    assert_eq!(answer, Ok(recovered(THIRD)));
    assert_eq!(calls, [Wait(0, OTHER), Probe(THIRD)], "not one interval later");
}

#[test]
fn flags_that_move_while_the_proof_comes_do_not_save_the_dead() {
    for (before, now) in
        FLAGS.into_iter().flat_map(|before| FLAGS.map(|now| (OTHER | before, OTHER | now)))
    {
        let word = AtomicU32::new(before);
        let proof = |_| {
            word.store(now, Relaxed);
            true
        };
        assert_eq!(contend(&word, answers([WaitAction::Probe]), proof).0, Ok(recovered(OTHER)));
        assert_eq!(word.into_inner(), ME | WAITERS | DIED);
    }
}

#[test]
fn a_proof_that_comes_after_the_word_has_moved_on_takes_from_nobody() {
    for now in [THIRD, THIRD | WAITERS | DIED, RESERVED] {
        let word = AtomicU32::new(OTHER);
        let proof = |_| {
            word.store(now, Relaxed);
            true
        };
        let (answer, calls) = contend(&word, answers([WaitAction::Probe]), proof);
        assert_eq!(answer, Err(Word::from_bits(now)));
        assert_eq!(calls, [Wait(0, OTHER), Probe(OTHER), Wait(1, now)]);
        assert_eq!(word.into_inner(), now);
    }
}

#[test]
fn every_word_ends_in_an_answer_that_fits_it() {
    for bits in words().into_iter().chain(FLAGS.map(|flags| ME | flags)) {
        let word = AtomicU32::new(bits);
        let (answer, calls) = contend(&word, answers([]), |_| unreachable!("nobody asked"));
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
        contend(&word, answers([WaitAction::Probe]), nobody).0,
        Err(Word::from_bits(RESERVED | DIED))
    );
    assert_eq!(contend(&word, answers([WaitAction::Probe]), |_| true).0, Ok(recovered(RESERVED)));
}

#[test]
fn a_liveness_that_acts_and_then_denies_it_costs_no_lock() {
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
