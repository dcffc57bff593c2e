//! Tests the place of the fences in each step, and that their scope changes nothing else.

mod common;

use core::cell::{Cell, RefCell};
use core::sync::atomic::Ordering::Relaxed;

use common::{DIED, FLAGS, WAITERS, check, found_free, token, wake_owed_by};
use shmlock_core::fence::{FullSystem, InnerShareable};
use shmlock_core::protocol::{self, Acquisition, Attempt, Wake};
use shmlock_core::{AtomicU32, Fence, FenceScope};

#[test]
fn the_scope_of_the_fences_changes_no_step() {
    fn round(fence: impl Fence) {
        let (me, rival) = (token(3), token(4));
        for flags in FLAGS {
            check(
                flags,
                |word| protocol::try_acquire(word, me, Attempt::First, fence),
                3 | flags,
                Ok(found_free(flags)),
            );
            check(
                3 | flags,
                |word| protocol::release(word, me, fence),
                flags & DIED,
                Ok(wake_owed_by(flags)),
            );
            check(
                3 | flags,
                |word| protocol::abandon(word, me, fence),
                DIED,
                Ok(wake_owed_by(flags)),
            );
            let recovered = Acquisition { owner_died: true, recovered_from: Some(rival) };
            check(
                4 | flags,
                |word| protocol::take_over(word, rival, me, fence),
                3 | WAITERS | DIED,
                Some(recovered),
            );
        }
    }
    round(InnerShareable);
    round(FullSystem);
    round(FenceScope::InnerShareable);
    round(FenceScope::FullSystem);
}

/// Records each fence with the word at that moment, and sets `meanwhile` flags just then.
#[derive(Clone, Copy)]
struct Recording<'a> {
    word: &'a AtomicU32,
    fences: &'a RefCell<Vec<(&'static str, u32)>>,
    meanwhile: &'a Cell<u32>,
}

impl Fence for Recording<'_> {
    fn acquire(self) {
        self.fences.borrow_mut().push(("acquire", self.word.load(Relaxed)));
    }

    fn release(self) {
        self.fences.borrow_mut().push(("release", self.word.load(Relaxed)));
        self.word.fetch_or(self.meanwhile.take(), Relaxed);
    }
}

/// Runs one step on a word; returns its answer and its fences.
fn fences<R>(
    before: u32,
    meanwhile: u32,
    step: impl FnOnce(&AtomicU32, Recording<'_>) -> R,
) -> (R, Vec<(&'static str, u32)>) {
    let (word, fences, meanwhile) =
        (AtomicU32::new(before), RefCell::default(), Cell::new(meanwhile));
    let answer = step(&word, Recording { word: &word, fences: &fences, meanwhile: &meanwhile });
    (answer, fences.into_inner())
}

#[test]
fn one_fence_stands_after_each_acquiring_swap_and_before_each_releasing_swap() {
    let (me, dead) = (token(3), token(4));
    let acquire = |before| {
        fences(before, 0, |word, fence| protocol::try_acquire(word, me, Attempt::First, fence)).1
    };
    assert_eq!(acquire(DIED), [("acquire", 3 | DIED)]);
    assert_eq!(acquire(4), [], "a failed attempt orders nothing");

    let take_over =
        |before| fences(before, 0, |word, fence| protocol::take_over(word, dead, me, fence)).1;
    assert_eq!(take_over(4), [("acquire", 3 | WAITERS | DIED)]);
    assert_eq!(take_over(5), []);

    assert_eq!(fences(3, 0, |word, fence| protocol::release(word, me, fence)).1, [("release", 3)]);
    assert_eq!(fences(3, 0, |word, fence| protocol::abandon(word, me, fence)).1, [("release", 3)]);
    assert_eq!(
        fences(3, 0, |word, fence| protocol::declare_stale(word, me, fence)).1,
        [("release", 3)]
    );
}

#[test]
fn a_waiter_that_sets_waiters_during_the_release_is_still_woken() {
    let me = token(3);
    assert_eq!(
        fences(3, WAITERS, |word, fence| protocol::release(word, me, fence)).0,
        Ok(Wake::One)
    );
    assert_eq!(
        fences(3, WAITERS, |word, fence| protocol::abandon(word, me, fence)).0,
        Ok(Wake::One)
    );
}
