//! Defines ways to wait, and their expected outcomes.

use std::slice::Iter;

use arbitrary::Arbitrary;
use shmlock_core::contend::Liveness;
use shmlock_core::wait::{Spin, Wait, WaitAction, WaitContext, Wfe};
use shmlock_core::{Error, FenceScope, RegionLock, Token};

use std::sync::atomic::Ordering::Relaxed;

use crate::memory::{DIED, WAITERS, token_part};

pub(super) type Lock<'a> = RegionLock<'a, FenceScope>;

/// How a contender waits.
#[derive(Debug, Arbitrary)]
pub(super) enum Waiting {
    Spin(u8),
    Wfe(u8),
    /// During the wait, the word is changed.
    Beats(Vec<Beat>),
}

/// One call of a wait.
#[derive(Debug, Arbitrary)]
pub(super) struct Beat {
    write: Option<u32>,
    marks: bool,
    /// Retry instead of probing the owner.
    retries: bool,
    /// Use the waiting handle.
    reenters: bool,
}

/// The outcome if the word is not changed meanwhile.
pub(super) enum Outcome {
    Taken { word: u32, recovers: bool },
    Busy { word: u32 },
}

impl Waiting {
    /// Returns the outcome, or `None` if the word is changed meanwhile. `dead` are the results of
    /// the probes, in order.
    pub(super) fn outcome(&self, word: u32, me: u32, dead: &[bool]) -> Option<Outcome> {
        let (probes, marks) = match self {
            Self::Spin(attempts) => (usize::from(*attempts > 0), false),
            Self::Wfe(attempts) => (usize::from(*attempts), *attempts > 0),
            Self::Beats(_) => return None,
        };
        let owner = token_part(word);
        let proven = dead.iter().take(probes).any(|&dead| dead);
        Some(match owner {
            0 => Outcome::Taken { word: word | me, recovers: false },
            _ if owner == me || proven => {
                Outcome::Taken { word: me | WAITERS | DIED, recovers: true }
            }
            _ => Outcome::Busy { word: if marks { word | WAITERS } else { word } },
        })
    }

    /// Returns the waiter of a contender with this handle, or without one.
    pub(super) fn begin<'a>(&'a self, lock: Option<&'a Lock<'a>>) -> Waiter<'a> {
        match self {
            Self::Spin(attempts) => Waiter::Spin(Spin::attempts(u32::from(*attempts))),
            Self::Wfe(attempts) => Waiter::Wfe(Wfe::attempts(u32::from(*attempts))),
            Self::Beats(beats) => Waiter::Beats(beats.iter(), lock),
        }
    }
}

/// A waiter of any kind.
pub(super) enum Waiter<'a> {
    Spin(Spin),
    Wfe(Wfe),
    Beats(Iter<'a, Beat>, Option<&'a Lock<'a>>),
}

impl Wait for Waiter<'_> {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        let (beats, lock) = match self {
            Self::Spin(spin) => return spin.wait(contention),
            Self::Wfe(wfe) => return wfe.wait(contention),
            Self::Beats(beats, lock) => (beats, lock),
        };
        let Some(beat) = beats.next() else { return WaitAction::GiveUp };
        if let Some(lock) = lock.filter(|_| beat.reenters) {
            assert_eq!(lock.try_lock().err(), Some(Error::InUse));
            assert_eq!(lock.acquire(&mut Spin::attempts(1)), Err(Error::InUse));
            assert_eq!(lock.release(), Err(Error::InUse));
            assert_eq!((lock.is_held(), lock.fencing_token()), (false, None));
        }
        if beat.marks {
            let _ = contention.set_waiters();
        }
        if let Some(word) = beat.write {
            contention.word().store(word, Relaxed);
        }
        if beat.retries { WaitAction::Retry } else { WaitAction::Probe }
    }
}

/// Probes return these results, then `false`.
pub(super) struct Deaths<'a>(pub(super) Iter<'a, bool>);

impl Liveness for Deaths<'_> {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (self.0.next() == Some(&true)).then(act)
    }
}
