//! Implements the loop by which a contender comes to own the lock.
//!
//! Two traits connect it to the world, for the core knows neither a clock nor a process: [`Wait`]
//! lets time pass, and [`Liveness`] proves a death.

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
/// * no handle can be assigned the token `owner`.
///
/// An implementation that cannot tell returns `None`: an owner in doubt is alive. Breaking the
/// contract makes two owners possible; it cannot cause undefined behaviour in this crate.
pub trait Liveness {
    /// Says whether the proof reads an owner's token as that of a boot, so that it can judge the
    /// owners of an [`EpochRegion`](crate::EpochRegion) only.
    ///
    /// [`RegionLock`](crate::RegionLock) refuses such a proof where static tokens are plain
    /// ([`Error::PlainTokens`](crate::Error::PlainTokens)). A proof that wraps another has the
    /// value of the inner one.
    const JUDGES_BOOTS: bool = false;

    /// Runs `act` under proof that `owner` is dead; `None` if there is no such proof.
    ///
    /// `act` takes the lock over, or finds that the owner has released it. From then on the word
    /// may name the caller, so the implementation drops its proof and returns.
    ///
    /// The handle is in use meanwhile: each of its calls returns
    /// [`Error::InUse`](crate::Error::InUse). After a panic [`RegionLock`](crate::RegionLock)
    /// releases the lock, with DIED set. Other callers of [`acquire_contended`] ensure that
    /// themselves.
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R>;
}

/// A [`Liveness`] that never proves a death: right for firmware whose cores cannot lose a task
/// without a reset. Cores that are reset one by one need
/// [`BootLiveness`](crate::roll::BootLiveness).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AssumeAlive;

impl Liveness for AssumeAlive {
    fn while_dead<R>(&mut self, _owner: Token, _act: impl FnOnce() -> R) -> Option<R> {
        None
    }
}

/// Contends for the lock until it is acquired or `wait` gives up.
///
/// Blocks for as long as `wait` does. The owner is probed each time `wait` returns
/// [`WaitAction::Probe`]; a good `wait` does so before its first sleep and after each interval.
///
/// A word that names `me` is stale, for the caller does not hold the lock and no other handle has
/// this token: the lock is taken over at once, with DIED.
///
/// # Errors
/// The word last seen, when `wait` returned [`WaitAction::GiveUp`]. **If it is free, the caller
/// owes a wake**: the wake that was used up here may have been meant for another waiter.
///
/// # Panics
/// If `wait`, `liveness` or `fence` does. The word may name `me` then: a caller that catches the
/// panic releases the lock.
#[cold]
pub fn acquire_contended<F: Fence>(
    word: &AtomicU32,
    me: Token,
    fence: F,
    liveness: &mut impl Liveness,
    wait: &mut (impl Wait + ?Sized),
) -> Result<Acquisition, Word> {
    acquire_contended_inline(word, me, fence, liveness, wait)
}

/// Does the same as [`acquire_contended`], compiled into its caller.
///
/// After a long sleep, each function that is not inlined costs a cache miss.
///
/// # Errors
/// Those of [`acquire_contended`].
#[inline]
pub fn acquire_contended_inline<F: Fence>(
    word: &AtomicU32,
    me: Token,
    fence: F,
    liveness: &mut impl Liveness,
    wait: &mut (impl Wait + ?Sized),
) -> Result<Acquisition, Word> {
    let mut attempt = Attempt::First;
    let mut failed = 0_u32;
    loop {
        let seen = match protocol::try_acquire(word, me, attempt, fence) {
            Ok(acquisition) => return Ok(acquisition),
            Err(seen) => seen,
        };
        if seen.is_owned_by(me) {
            if let Some(acquisition) = protocol::take_over(word, me, me, fence) {
                return Ok(acquisition);
            }
        }
        let action = wait.wait(&mut WaitContext::new(word, seen, failed, &mut attempt));
        failed = failed.saturating_add(1);
        match action {
            WaitAction::Retry => {}
            WaitAction::Probe => {
                // Probe the present owner, not the one in `seen`: the lock may have changed hands,
                // and a dead owner that is not probed here is found one interval late.
                // Partner: none. Relaxed: `take_over` judges again, under the proof.
                let present = Word::from_bits(word.load(Relaxed));
                if let Some(acquisition) = recover(word, present, me, fence, liveness) {
                    return Ok(acquisition);
                }
            }
            WaitAction::GiveUp => return Err(cancel_wait(word, seen, attempt)),
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

/// Stops waiting without leaving other waiters asleep: the wake that was used up may have been
/// meant for them. Returns the present word; **if it is free, the caller owes a wake**.
///
/// `seen` is the word last seen. [`acquire_contended`] calls this itself; loops of another shape
/// call it when they end, such as one in a task that is dropped. Never blocks.
#[must_use = "if it is free, the caller owes a wake"]
pub fn cancel_wait(word: &AtomicU32, seen: Word, attempt: Attempt) -> Word {
    let mut seen = seen;
    if attempt == Attempt::AfterWaiting {
        while !seen.is_free() {
            match protocol::set_waiters(word, seen) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
    }
    seen
}
