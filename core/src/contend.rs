//! How a loser becomes an owner: the loop around the steps, with two seams.
//!
//! [`Wait`] is how to let time pass, and [`Liveness`] is how to prove a death. Both come from
//! outside: the core knows neither a clock nor a process.

use crate::fence::Fence;
use crate::protocol::{self, Acquisition, Attempt};
use crate::sync::{AtomicU32, Relaxed};
use crate::token::Token;
use crate::wait::{Wait, WaitAction, WaitContext};
use crate::word::Word;

/// Proof that an owner is dead.
///
/// # Contract
///
/// [`while_dead`](Self::while_dead) runs `act` only if, **from before `act` begins until after it
/// returns**,
///
/// * no handle with the token `owner` is alive, and
/// * no handle can be given the token `owner`.
///
/// An implementation that cannot tell answers `None`: an owner in doubt is alive. Breaking the
/// contract makes two owners possible; it cannot cause undefined behaviour in this crate.
pub trait Liveness {
    /// Runs `act` under proof that `owner` is dead; `None` if there is no such proof.
    ///
    /// `act` takes the lock over, or finds that the owner has released it. From then until this
    /// call returns the word may name the caller, so the implementation lets go of its proof and
    /// returns. The handle is in use meanwhile: each of its calls answers
    /// [`Error::InUse`](crate::Error::InUse). After a panic [`RegionLock`](crate::RegionLock) gives
    /// the lock back, with the news of the death. Other callers of [`acquire_contended`] see to
    /// that themselves.
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R>;
}

/// Nobody is ever known to be dead: right for firmware whose cores cannot lose a task without a
/// reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssumeAlive;

impl Liveness for AssumeAlive {
    fn while_dead<R>(&mut self, _owner: Token, _act: impl FnOnce() -> R) -> Option<R> {
        None
    }
}

/// Contends for the lock until it is ours or `wait` gives up.
///
/// Blocks for as long as `wait` does. The owner is first probed when `wait` first asks for it by
/// [`WaitAction::Probe`]; a good `wait` does so before its first sleep and after each interval.
///
/// A word that names `me` is corrupt, for the caller does not hold the lock and nobody else can
/// have this token: it is taken over at once, with DIED.
///
/// # Errors
/// The word last seen, when `wait` answered [`WaitAction::GiveUp`]. **If it is free, the caller owes a
/// wake** to whoever else sleeps on the word: the one that was used up here may have been meant for
/// them.
///
/// # Panics
/// If `wait`, `liveness` or `fence` does. The word may name `me` then: a caller that goes on gives
/// the lock back.
#[cold]
pub fn acquire_contended<F: Fence>(
    word: &AtomicU32,
    me: Token,
    fence: F,
    liveness: &mut impl Liveness,
    wait: &mut impl Wait,
) -> Result<Acquisition, Word> {
    acquire_contended_inline(word, me, fence, liveness, wait)
}

/// As [`acquire_contended`], compiled into its caller: on the way back from a long sleep each
/// function of its own is a cache miss more.
///
/// # Errors
/// As [`acquire_contended`].
#[inline]
pub fn acquire_contended_inline<F: Fence>(
    word: &AtomicU32,
    me: Token,
    fence: F,
    liveness: &mut impl Liveness,
    wait: &mut impl Wait,
) -> Result<Acquisition, Word> {
    let mut arrival = Attempt::First;
    let mut attempt = 0_u32;
    loop {
        let seen = match protocol::try_acquire(word, me, arrival, fence) {
            Ok(acquisition) => return Ok(acquisition),
            Err(seen) => seen,
        };
        if seen.is_owned_by(me) {
            if let Some(acquisition) = protocol::take_over(word, me, me, fence) {
                return Ok(acquisition);
            }
        }
        let verdict = wait.wait(&mut WaitContext::new(word, seen, attempt, &mut arrival));
        attempt = attempt.saturating_add(1);
        match verdict {
            WaitAction::Retry => {}
            WaitAction::Probe => {
                // Not the owner whom we began to wait for: the lock may have changed hands since,
                // and who would not be asked about now would be asked about one interval late.
                // Partner: none. Relaxed: `take_over` judges again, under the proof.
                let present = Word::from_bits(word.load(Relaxed));
                if let Some(acquisition) = recover(word, present, me, fence, liveness) {
                    return Ok(acquisition);
                }
            }
            WaitAction::GiveUp => return Err(cancel_wait(word, seen, arrival)),
        }
    }
}

/// Takes over from the owner in `present`, if it is proven dead and still named by the word.
fn recover<F: Fence>(
    word: &AtomicU32,
    present: Word,
    me: Token,
    fence: F,
    liveness: &mut impl Liveness,
) -> Option<Acquisition> {
    let owner = present.owner()?;
    liveness.while_dead(owner, || protocol::take_over(word, owner, me, fence))?
}

/// Leaves the queue without leaving others asleep: the wake that we may have used up was also
/// theirs.
///
/// [`acquire_contended`] does so by itself. For loops of another shape, such as one in a task that
/// may be dropped: `seen` is the word last seen. Gives back the word as it is now; **if it is free,
/// the caller owes a wake**. Never blocks.
#[must_use = "if it is free, the caller owes a wake"]
pub fn cancel_wait(word: &AtomicU32, seen: Word, arrival: Attempt) -> Word {
    let mut seen = seen;
    if arrival == Attempt::AfterWaiting {
        while !seen.is_free() {
            match protocol::mark_waiting(word, seen) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
    }
    seen
}
