//! Implements the steps that move the owner word. The rest of this project serves them.
//!
//! # States and transitions
//!
//! `T`, `t` are tokens, `W` is WAITERS, `D` is DIED, `0` is a free token part. `[..]` flags are
//! kept as found.
//!
//! | step | by | from | to | fence |
//! |---|---|---|---|---|
//! | [`try_acquire`], first attempt | a contender | `0 [W] [D]` | `T [W] [D]` | acquire after it |
//! | [`try_acquire`], after waiting | a waiter | `0 [W] [D]` | `T W [D]` | acquire after it |
//! | [`set_waiters`] | a waiter | `t [D]` | `t W [D]` | none |
//! | [`release`] | the owner `T` | `T [W] [D]` | `0 [D]` | release before it |
//! | [`release_without_wake`] | the owner `T` | `T [W] [D]` | `0 [W] [D]` | release before it |
//! | [`claim_wake`] | the previous owner | `0 W [D]` | `0 [D]` | none |
//! | [`abandon`] | the owner `T`, dying | `T [W] [D]` | `0 D` | release before it |
//! | [`take_over`] | a waiter with proof of death | `t [W] [D]` | `T W D` | acquire after it |
//! | [`declare_stale`] | the new handle with `t` | `t [W] [D]` | `0 D` | release before it |
//! | [`declare_consistent`] | the owner `T` | `T [W] D` | `T [W]` | none |
//!
//! Every other value is either free or held by the token it names; there is no invalid word.
//!
//! # Acquire, step by step
//!
//! 1. Swap `0 [W] [D]` for `T [W] [D]`. *If we die before:* nothing happened. *If we die here:* the
//!    word names a dead owner; the next waiter takes over.
//! 2. Acquire fence. The critical section begins. *If we die here:* as above.
//! 3. Count the generation; write the record, unless it describes us already
//!    ([`record`](crate::record)). *If we die here:* as above; an odd sequence tells a
//!    half-written record.
//!
//! # Release, step by step
//!
//! 1. Release fence. *If we die here:* the word names a dead owner, although the critical section
//!    was finished; DIED is then more careful than needed.
//! 2. Swap `T [W] [D]` for `0 [D]`. *If we die here:* the lock is free, and sleeping waiters are
//!    not woken: each tries again after its own interval.
//! 3. Wake one, if W was set. *If the woken waiter dies before it sets W again:* as above.
//!
//! # Release without wake, step by step
//!
//! Optional; `shmlock` does not use it. For an owner that knows of a spinning waiter. That waiter
//! takes over the duty to wake, so the release wakes no sleeping one.
//!
//! 1. Release fence. *If we die here:* as in a release.
//! 2. Swap `T [W] [D]` for `0 [W] [D]`. *If we die here:* the lock is free, and the next owner owes
//!    the wake. Without a next owner, each sleeping waiter tries again after its own interval.
//! 3. Watch the word for a moment. A contender that acquires the lock keeps W, and owes the wake.
//! 4. If the lock stays free: swap `0 W [D]` for `0 [D]`, and wake one. If the swap fails, a
//!    contender came after all. *If we die before the wake:* as in a release.
//!
//! # Take over, step by step
//!
//! 1. Obtain proof that owner `t` is dead, **and keep** the means that prevents the assignment of
//!    `t` to another handle.
//! 2. Read the word again; stop if it does not name `t` any more. The owner may have released
//!    before it died, and the proof may be of a later handle with the same token.
//! 3. Swap `t [W] [D]` for `T W D`; retry while only flags change. *If we die here:* the word names
//!    us; the next waiter takes over from us.
//! 4. Drop the proof. *If we die before:* the kernel (or the embedder) frees it.
//!
//! Without the second half of step 1 there can be two owners: `t` is assigned to a new handle
//! between the proof and the swap, that handle acquires, and step 3 robs it.
//!
//! # Examples
//!
//! ```
//! use shmlock_core::fence::InnerShareable;
//! use shmlock_core::protocol::{Attempt, Wake, release, set_waiters, try_acquire};
//! use shmlock_core::{AtomicU32, Token};
//!
//! let (one, two) = (Token::try_from(1)?, Token::try_from(2)?);
//! let word = AtomicU32::new(0);
//!
//! assert!(try_acquire(&word, one, Attempt::First, InnerShareable).is_ok());
//! let refused = try_acquire(&word, two, Attempt::First, InnerShareable);
//! let seen = refused.expect_err("there are not two owners");
//! assert!(seen.is_owned_by(one));
//! assert!(set_waiters(&word, seen).is_ok()); // `two` would sleep on the word now
//! assert_eq!(release(&word, one, InnerShareable), Ok(Wake::One)); // `one` would wake it
//! assert!(try_acquire(&word, two, Attempt::AfterWaiting, InnerShareable).is_ok());
//! # Ok::<(), shmlock_core::token::InvalidToken>(())
//! ```
//!
//! # Memory orderings
//!
//! Every access to the word is relaxed; the two fences carry the order. The fence before the
//! releasing swap of one owner pairs with the fence after the acquiring swap of the next, because
//! the latter swap reads the value that the former wrote (C++20 31.11, fence–fence
//! synchronisation). Everything the previous owner wrote in its critical section becomes visible,
//! the record and the generation included.
//!
//! [`set_waiters`] changes the word only while it is held, never while it is free, so it does not
//! break the pair; it publishes nothing else. [`claim_wake`] changes a free word. It is a
//! read-modify-write, so it continues the release sequence of the releasing swap: an acquirer that
//! reads its value synchronises all the same. A *dead* owner made no releasing swap. Its writes are
//! visible because the proof of death orders memory by itself: it comes from the kernel (a lock
//! that passed from the dead owner to us) or from a reset line.

use crate::fence::Fence;
use crate::sync::{AtomicU32, Relaxed};
use crate::token::Token;
use crate::word::Word;

/// How the lock was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an acquisition that is not released keeps all others out"]
pub struct Acquisition {
    /// DIED is set: an owner died, and the data has not been declared consistent since.
    pub owner_died: bool,
    /// The dead owner that the lock was recovered from; `None` if the lock was free.
    pub recovered_from: Option<Token>,
}

/// What a contender did before this attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Attempt {
    /// It has not slept on this word. Its release wakes only waiters that set WAITERS from now on.
    First,
    /// It has set WAITERS. The wake that it used up may have been meant for several waiters, so it
    /// keeps WAITERS set.
    AfterWaiting,
}

/// The wake that a release owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a waiter left asleep tries again only after its own interval"]
pub enum Wake {
    /// None: no waiter is known to sleep.
    None,
    /// Wake one of the waiters that sleep on the word.
    One,
}

impl Wake {
    const fn owed_by(before: Word) -> Self {
        if before.has_waiters() { Self::One } else { Self::None }
    }
}

/// Acquires the lock if it is free.
///
/// Never blocks; async-signal-safe. `me` must not hold the lock already.
///
/// # Errors
/// The word that names the present owner.
#[inline]
pub fn try_acquire<F: Fence>(
    word: &AtomicU32,
    me: Token,
    attempt: Attempt,
    fence: F,
) -> Result<Acquisition, Word> {
    let mut seen = Word::FREE;
    loop {
        let acquired = match attempt {
            Attempt::First => seen.acquired_by(me),
            Attempt::AfterWaiting => seen.acquired_by(me).with_waiters(),
        };
        // Partner: the releasing swap of the previous owner. Relaxed: the fence below orders.
        match word.compare_exchange(seen.bits(), acquired.bits(), Relaxed, Relaxed) {
            Ok(_) => {
                fence.acquire(); // pairs with the fence in `release`: we see its writes
                return Ok(Acquisition { owner_died: seen.owner_died(), recovered_from: None });
            }
            Err(bits) => seen = Word::from_bits(bits),
        }
        if !seen.is_free() {
            return Err(seen);
        }
    }
}

/// Acquires the lock if it is free and no flag is set; returns `true` if so.
///
/// Sufficient for an undisturbed acquisition; after `false`, call [`try_acquire`]. Never blocks;
/// async-signal-safe. `me` must not hold the lock already.
#[inline]
pub fn try_acquire_fast<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> bool {
    try_acquire_fast_by(word, me, fence, relaxed_swap)
}

/// Does the same by the caller's own compare-and-swap, which need not order any other access. It
/// gets the word, the value to find, and the value to store; it returns the value found, as an
/// error if it was another.
///
/// For a caller that knows the processor better than the compiler.
#[inline]
pub fn try_acquire_fast_by<F: Fence>(
    word: &AtomicU32,
    me: Token,
    fence: F,
    swap: impl FnOnce(&AtomicU32, u32, u32) -> Result<u32, u32>,
) -> bool {
    // Partner: the releasing swap of the previous owner. Relaxed: the fence below orders.
    let free = swap(word, Word::FREE.bits(), Word::held_by(me).bits()).is_ok();
    if free {
        fence.acquire(); // pairs with the fence in `release`: we see its writes
    }
    free
}

/// Sets WAITERS before a sleep; returns the word to sleep on.
///
/// Never blocks; async-signal-safe.
///
/// # Errors
/// The present word, if it is no longer `seen`: try again instead of sleeping.
#[inline]
pub fn set_waiters(word: &AtomicU32, seen: Word) -> Result<Word, Word> {
    let marked = seen.with_waiters();
    // Partner: the releasing swap, which sees W and wakes. Relaxed: it publishes nothing else.
    match word.compare_exchange(seen.bits(), marked.bits(), Relaxed, Relaxed) {
        Ok(_) => Ok(marked),
        Err(bits) => Err(Word::from_bits(bits)),
    }
}

/// Releases the lock. DIED stays as it is.
///
/// Never blocks; async-signal-safe.
///
/// # Errors
/// The word found, if it does not name `me`: the region was written to from outside the protocol.
/// The word is left alone.
#[inline]
pub fn release<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<Wake, Word> {
    fence.release(); // pairs with the fence in `try_acquire`: the next owner sees our writes
    release_as(word, me, Word::released)
}

/// Releases the lock if no flag is set: sufficient for an undisturbed release.
///
/// Never blocks; async-signal-safe.
///
/// # Errors
/// The word found. If it names `me`, flags are set: call [`release`] or [`release_without_wake`].
#[inline]
pub fn release_fast<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<(), Word> {
    release_fast_by(word, me, fence, relaxed_swap)
}

/// Does the same by the caller's own compare-and-swap, as [`try_acquire_fast_by`] does.
///
/// # Errors
/// Those of [`release_fast`].
#[inline]
pub fn release_fast_by<F: Fence>(
    word: &AtomicU32,
    me: Token,
    fence: F,
    swap: impl FnOnce(&AtomicU32, u32, u32) -> Result<u32, u32>,
) -> Result<(), Word> {
    fence.release(); // pairs with the fence in `try_acquire`: the next owner sees our writes
    // Partner: the swap in `try_acquire`. Relaxed: the fence orders.
    match swap(word, Word::held_by(me).bits(), Word::FREE.bits()) {
        Ok(_) => Ok(()),
        Err(bits) => Err(Word::from_bits(bits)),
    }
}

#[inline]
fn relaxed_swap(word: &AtomicU32, old: u32, new: u32) -> Result<u32, u32> {
    // Partners and order: at the callers.
    word.compare_exchange(old, new, Relaxed, Relaxed)
}

/// Releases the lock and leaves WAITERS set for the next owner.
///
/// Never blocks; async-signal-safe. **The caller then watches** whether a contender acquires the
/// lock, and calls [`claim_wake`] if none does.
///
/// # Errors
/// Those of [`release`].
#[inline]
pub fn release_without_wake<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<(), Word> {
    fence.release(); // pairs with the fence in `try_acquire`: the next owner sees our writes
    release_as(word, me, Word::released_keeping_waiters).map(|_| ())
}

/// Clears WAITERS if the lock is still free after [`release_without_wake`], and returns the wake
/// that the caller then owes.
///
/// Never blocks; async-signal-safe.
#[inline]
pub fn claim_wake(word: &AtomicU32) -> Wake {
    // Partner: `release_without_wake`, ours or another's. Relaxed: the swap below judges again.
    let mut seen = Word::from_bits(word.load(Relaxed));
    while seen.is_free() && seen.has_waiters() {
        // Partner: the swap in `try_acquire`, which keeps W if it comes first. Relaxed: only the
        // duty to wake moves.
        match word.compare_exchange(seen.bits(), seen.without_waiters().bits(), Relaxed, Relaxed) {
            Ok(_) => return Wake::One,
            Err(bits) => seen = Word::from_bits(bits),
        }
    }
    Wake::None
}

/// Releases a lock whose critical section will never be finished: DIED tells the next owner.
///
/// Never blocks; async-signal-safe. For exit handlers: the thread that was in the critical section
/// must not run on.
///
/// # Errors
/// Those of [`release`].
#[inline]
pub fn abandon<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<Wake, Word> {
    fence.release(); // pairs with the fence in `try_acquire`: the next owner sees our writes
    release_as(word, me, Word::abandoned)
}

#[inline]
fn release_as(word: &AtomicU32, me: Token, freed: impl Fn(Word) -> Word) -> Result<Wake, Word> {
    let mut seen = Word::held_by(me);
    loop {
        // Partner: the swap in `try_acquire`. Relaxed: the caller's fence orders.
        match word.compare_exchange(seen.bits(), freed(seen).bits(), Relaxed, Relaxed) {
            Ok(_) => return Ok(Wake::owed_by(seen)),
            Err(bits) => seen = Word::from_bits(bits),
        }
        if !seen.is_owned_by(me) {
            return Err(seen);
        }
    }
}

/// Recovers the lock from a dead owner. `None` if the word does not name `dead` any more.
///
/// Never blocks.
///
/// **The caller holds proof that `dead` is dead, and prevents the assignment of that token to
/// another handle, for the whole call.**
/// [`Liveness::while_dead`](crate::contend::Liveness::while_dead) is that obligation as a type. A
/// word that names a caller which holds nothing is its own proof: pass `me` twice.
#[must_use]
pub fn take_over<F: Fence>(
    word: &AtomicU32,
    dead: Token,
    me: Token,
    fence: F,
) -> Option<Acquisition> {
    // Partner: none; the proof of death orders. Relaxed: the swap below judges again.
    let mut seen = Word::from_bits(word.load(Relaxed));
    while seen.is_owned_by(dead) {
        // Partner: `set_waiters` of others, whose flag `recovered_by` sets anyway.
        match word.compare_exchange(seen.bits(), seen.recovered_by(me).bits(), Relaxed, Relaxed) {
            Ok(_) => {
                fence.acquire(); // with the proof of death: what the dead owner wrote is visible
                return Some(Acquisition { owner_died: true, recovered_from: Some(dead) });
            }
            Err(bits) => seen = Word::from_bits(bits),
        }
    }
    None
}

/// Frees a word that names a token newly assigned to the caller: the assignment proves that the
/// former owner is dead. Does the same for a token of an earlier boot of the calling core, which
/// the [`roll`](crate::roll) assigns to no other handle.
///
/// `None` if the word does not name `token`. Never blocks. No other living handle has `token`, and
/// the caller does not hold the lock.
#[must_use]
pub fn declare_stale<F: Fence>(word: &AtomicU32, token: Token, fence: F) -> Option<Wake> {
    // Pairs with `acquire` in `try_acquire`. The assignment of the token made visible to us what
    // the dead owner wrote; this makes it visible to the next owner.
    fence.release();
    release_as(word, token, Word::abandoned).ok()
}

/// Clears DIED: the owner has found the data consistent, or made it so.
///
/// Never blocks. Only the owner calls it.
///
/// # Errors
/// The word found, if it does not name `me`.
pub fn declare_consistent(word: &AtomicU32, me: Token) -> Result<(), Word> {
    let mut seen = Word::held_by(me);
    loop {
        let consistent = seen.declared_consistent();
        // Partner: `set_waiters` of others, whose flag is kept. Relaxed: the release that follows
        // publishes it.
        match word.compare_exchange(seen.bits(), consistent.bits(), Relaxed, Relaxed) {
            Ok(_) => return Ok(()),
            Err(bits) => seen = Word::from_bits(bits),
        }
        if !seen.is_owned_by(me) {
            return Err(seen);
        }
    }
}
