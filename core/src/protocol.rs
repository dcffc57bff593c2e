//! The steps that move the owner word. Everything else in this project serves these functions.
//!
//! # States and transitions
//!
//! `T`, `t` are tokens, `W` is WAITERS, `D` is DIED, `0` is a free token part. `[..]` flags are
//! kept as found.
//!
//! | step | by | from | to | fence |
//! |---|---|---|---|---|
//! | [`try_acquire`] | anybody | `0 [W] [D]` | `T [W] [D]` | acquire after it |
//! | [`try_acquire`] after having marked | a waiter | `0 [W] [D]` | `T W [D]` | acquire after it |
//! | [`mark_waiting`] | a waiter | `t [D]` | `t W [D]` | none |
//! | [`release`] | the owner `T` | `T [W] [D]` | `0 [D]` | release before it |
//! | [`release_without_wake`] | the owner `T` | `T [W] [D]` | `0 [W] [D]` | release before it |
//! | [`claim_wake`] | whoever has passed on | `0 W [D]` | `0 [D]` | none |
//! | [`abandon`] | the owner `T`, dying | `T [W] [D]` | `0 D` | release before it |
//! | [`take_over`] | whoever holds proof of `t`'s death | `t [W] [D]` | `T W D` | acquire after it |
//! | [`declare_stale`] | whoever has just been given `t` | `t [W] [D]` | `0 D` | release before it |
//! | [`declare_consistent`] | the owner `T` | `T [W] D` | `T [W]` | none |
//!
//! Every other value is either free or held by the token it names; there is no invalid word.
//!
//! # Acquire, step by step
//!
//! 1. Swap `0 [W] [D]` for `T [W] [D]`. *If we die before:* nothing happened. *If we die here:* the
//!    word names a dead owner; the next waiter takes over.
//! 2. Acquire fence. The section begins. *If we die here:* as above.
//! 3. Generation, then the record, if it does not describe us already ([`record`](crate::record)).
//!    *If we die here:* as above; a half-written record is recognised by its odd sequence.
//!
//! # Release, step by step
//!
//! 1. Release fence. *If we die here:* the word names a dead owner, although the section was
//!    finished; DIED is then more careful than needed.
//! 2. Swap `T [W] [D]` for `0 [D]`. *If we die here:* the lock is free, and sleepers have not been
//!    woken: each looks again after its own interval.
//! 3. Wake one, if W was set. *If the woken one dies before it has marked again:* as above.
//!
//! # Pass on, step by step
//!
//! A release for holders who know that somebody is awake and wants the lock: the sleepers need no
//! wake then, for that one will owe it.
//!
//! 1. Release fence. *If we die here:* as in a release.
//! 2. Swap `T [W] [D]` for `0 [W] [D]`. *If we die here:* the lock is free, and whoever takes it
//!    owes the wake; if nobody does, each sleeper looks again after its own interval.
//! 3. Look for a moment whether somebody takes it. Whoever does takes W along, and the wake that it
//!    stands for.
//! 4. Nobody does: swap `0 W [D]` for `0 [D]`, and wake one. If the swap fails somebody was there
//!    after all. *If we die before the wake:* as in a release.
//!
//! # Take over, step by step
//!
//! 1. Obtain proof that owner `t` is dead, **and keep** whatever prevents anybody from being given
//!    `t` again.
//! 2. Read the word again; stop if it does not name `t` any more. (The owner may have released
//!    before it died, and the proof may be of a later life of the same number.)
//! 3. Swap `t [W] [D]` for `T W D`, again as long as only flags moved. *If we die here:* the word
//!    names us; the next waiter takes over from us.
//! 4. Let go of the proof. *If we die before:* it is the kernel's (or the embedder's) to free.
//!
//! Without 1's second half two owners are possible: the word is found free-able, its owner's number
//! is given to somebody else who acquires, and the swap of step 3 robs them.
//!
//! # Examples
//!
//! ```
//! use shmlock_core::fence::InnerShareable;
//! use shmlock_core::protocol::{Attempt, Wake, mark_waiting, release, try_acquire};
//! use shmlock_core::{AtomicU32, Token};
//!
//! let (one, two) = (Token::from_static(1.try_into()?), Token::from_static(2.try_into()?));
//! let word = AtomicU32::new(0);
//!
//! assert!(try_acquire(&word, one, Attempt::First, InnerShareable).is_ok());
//! let Err(seen) = try_acquire(&word, two, Attempt::First, InnerShareable) else { panic!("two owners") };
//! assert!(seen.is_owned_by(one));
//! assert!(mark_waiting(&word, seen).is_ok()); // `two` would sleep on the word now
//! assert_eq!(release(&word, one, InnerShareable), Ok(Wake::One)); // `one` would wake it
//! assert!(try_acquire(&word, two, Attempt::AfterWaiting, InnerShareable).is_ok());
//! # Ok::<(), core::num::TryFromIntError>(())
//! ```
//!
//! # Memory orderings
//!
//! Every access to the word is relaxed; the two fences carry the order. The fence before the giving
//! swap of one owner pairs with the fence after the taking swap of the next, because the next one's
//! swap reads the value that the giving swap wrote (C++20 31.11, fence–fence synchronisation). What
//! becomes visible is everything the previous owner wrote in its section, the record and the
//! generation included. [`mark_waiting`] stands between in the modification order only while the
//! word is held, never while it is free, so it does not break the pair; it publishes nothing
//! itself. After the *death* of an owner there was no giving swap: its writes are visible because
//! the proof of death comes from whoever ended it (a kernel lock that passed from the dead to us, a
//! reset line), which orders memory by itself.

use crate::fence::Fence;
use crate::sync::{AtomicU32, Relaxed};
use crate::token::Token;
use crate::word::Word;

/// How somebody came to hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an acquisition that is not released keeps everybody else out"]
pub struct Acquisition {
    /// DIED stands in the word: an owner died, and nobody has declared the data consistent since.
    pub owner_died: bool,
    /// The dead owner that this acquisition replaced; `None` if the lock was found free.
    pub recovered_from: Option<Token>,
}

/// Whether this contender may leave others asleep behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Attempt {
    /// Has not slept on this word: its release needs to wake only those who mark the word from now
    /// on.
    First,
    /// Has marked the word: the wake that it used up may have been meant for several, so it keeps
    /// WAITERS set.
    AfterWaiting,
}

/// What the one who gave the lock back owes the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a waiter left asleep notices only after its own interval"]
pub enum Wake {
    /// Nobody is known to sleep.
    Nobody,
    /// Wake one of those who sleep on the word.
    One,
}

impl Wake {
    const fn owed_by(before: Word) -> Self {
        if before.has_waiters() { Self::One } else { Self::Nobody }
    }
}

/// Takes the lock if it is free.
///
/// Never blocks; async-signal-safe. `me` must not hold the lock already.
///
/// # Errors
/// The word that names the present owner.
#[inline]
pub fn try_acquire<F: Fence>(
    word: &AtomicU32,
    me: Token,
    arrival: Attempt,
    fence: F,
) -> Result<Acquisition, Word> {
    let mut seen = Word::FREE;
    loop {
        let taken = match arrival {
            Attempt::First => seen.acquired_by(me),
            Attempt::AfterWaiting => seen.acquired_by(me).with_waiters(),
        };
        // Partner: the giving swap in `release` or `abandon` of the previous owner. Relaxed, as the
        // fence below orders.
        match word.compare_exchange(seen.bits(), taken.bits(), Relaxed, Relaxed) {
            Ok(_) => {
                fence.acquire(); // pairs with `release` in `release`: the previous section is visible
                return Ok(Acquisition { owner_died: seen.owner_died(), recovered_from: None });
            }
            Err(bits) => seen = Word::from_bits(bits),
        }
        if !seen.is_free() {
            return Err(seen);
        }
    }
}

/// Takes the lock if it is free and no flag stands in the word: all that an undisturbed acquire
/// takes.
///
/// Never blocks; async-signal-safe. `me` must not hold the lock already. `false`: [`try_acquire`]
/// it.
#[inline]
pub fn try_acquire_fast<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> bool {
    // Partner: the giving swap of the previous owner. Relaxed, as the fence below orders.
    let free = word
        .compare_exchange(Word::FREE.bits(), Word::held_by(me).bits(), Relaxed, Relaxed)
        .is_ok();
    if free {
        fence.acquire(); // pairs with `release` in `release`: the previous section is visible
    }
    free
}

/// Says that somebody is about to sleep until the word changes; gives back the word to sleep on.
///
/// Never blocks; async-signal-safe.
///
/// # Errors
/// The word as it is now, if it is no longer `seen`: look again instead of sleeping.
#[inline]
pub fn mark_waiting(word: &AtomicU32, seen: Word) -> Result<Word, Word> {
    let marked = seen.with_waiters();
    // Partner: the giving swap in `release`, which sees W and wakes. Relaxed: it publishes nothing
    // but itself.
    match word.compare_exchange(seen.bits(), marked.bits(), Relaxed, Relaxed) {
        Ok(_) => Ok(marked),
        Err(bits) => Err(Word::from_bits(bits)),
    }
}

/// Gives the lock back. DIED stays as it is.
///
/// Never blocks; async-signal-safe.
///
/// # Errors
/// The word found, if it does not name `me`: somebody wrote to the region from outside the
/// protocol. It is left alone.
#[inline]
pub fn release<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<Wake, Word> {
    fence.release(); // pairs with `acquire` in `try_acquire`: our section is visible to the next owner
    give(word, me, Word::released)
}

/// Gives the lock back if no flag stands in the word: all that an undisturbed release takes.
///
/// Never blocks; async-signal-safe.
///
/// # Errors
/// The word found. If it names `me`, flags do stand there: [`release`] or [`release_without_wake`] it.
#[inline]
pub fn release_fast<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<(), Word> {
    fence.release(); // pairs with `acquire` in `try_acquire`: our section is visible to the next owner
    let seen = Word::held_by(me);
    // Partner: the taking swap in `try_acquire`. Relaxed, as the fence orders.
    match word.compare_exchange(seen.bits(), seen.released().bits(), Relaxed, Relaxed) {
        Ok(_) => Ok(()),
        Err(bits) => Err(Word::from_bits(bits)),
    }
}

/// Gives the lock back without waking anybody: WAITERS stays, for whoever takes the lock next.
///
/// Never blocks; async-signal-safe. **The caller owes a look** whether somebody takes it, and else
/// [`claim_wake`].
///
/// # Errors
/// As [`release`].
#[inline]
pub fn release_without_wake<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<(), Word> {
    fence.release(); // pairs with `acquire` in `try_acquire`: our section is visible to the next owner
    give(word, me, Word::released_keeping_waiters).map(|_| ())
}

/// After [`release_without_wake`]: takes WAITERS away if nobody has taken the lock, and with it the duty to
/// wake.
///
/// Never blocks; async-signal-safe.
#[inline]
pub fn claim_wake(word: &AtomicU32) -> Wake {
    // Partner: `release_without_wake`, ours or another's. Relaxed: the swap below judges again.
    let mut seen = Word::from_bits(word.load(Relaxed));
    while seen.is_free() && seen.has_waiters() {
        // Partner: the taking swap in `try_acquire`, which takes W along if it comes first.
        // Relaxed: nothing but the duty.
        match word.compare_exchange(seen.bits(), seen.without_waiters().bits(), Relaxed, Relaxed) {
            Ok(_) => return Wake::One,
            Err(bits) => seen = Word::from_bits(bits),
        }
    }
    Wake::Nobody
}

/// Gives back a lock whose section will never be finished: the next owner is told by DIED.
///
/// Never blocks; async-signal-safe. For exit handlers: the thread that was in the section must not
/// run on.
///
/// # Errors
/// As [`release`].
#[inline]
pub fn abandon<F: Fence>(word: &AtomicU32, me: Token, fence: F) -> Result<Wake, Word> {
    fence.release(); // pairs with `acquire` in `try_acquire`: what we did of the section is visible
    give(word, me, Word::abandoned)
}

#[inline]
fn give(word: &AtomicU32, me: Token, given: impl Fn(Word) -> Word) -> Result<Wake, Word> {
    let mut seen = Word::held_by(me);
    loop {
        // Partner: the taking swap in `try_acquire`. Relaxed, as the caller's fence orders.
        match word.compare_exchange(seen.bits(), given(seen).bits(), Relaxed, Relaxed) {
            Ok(_) => return Ok(Wake::owed_by(seen)),
            Err(bits) => seen = Word::from_bits(bits),
        }
        if !seen.is_owned_by(me) {
            return Err(seen);
        }
    }
}

/// Takes the lock from a dead owner. `None` if the word does not name `dead` any more.
///
/// Never blocks.
///
/// **The caller holds proof that `dead` is dead, and keeps anybody from being given that token, for
/// the whole call.** [`Liveness::while_dead`](crate::contend::Liveness::while_dead) is that
/// obligation as a type. A word that names `me` while I hold nothing is its own proof: pass `me`
/// twice.
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
        // Partner: `mark_waiting` of others, whose flag `recovered_by` sets anyway.
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

/// Frees a word that names a token which has just been given to us: its former owner is dead by
/// that very fact.
///
/// `None` if the word does not name `token`. Never blocks. The caller is the only living handle
/// with `token`, and does not hold the lock.
#[must_use]
pub fn declare_stale<F: Fence>(word: &AtomicU32, token: Token, fence: F) -> Option<Wake> {
    // Pairs with `acquire` in `try_acquire`: what the dead owner wrote, which the gift of its
    // token made visible to us, is visible to the next owner as well.
    fence.release();
    give(word, token, Word::abandoned).ok()
}

/// Clears DIED: the holder has looked at the data and found it, or made it, consistent.
///
/// Never blocks. Only the owner calls it.
///
/// # Errors
/// The word found, if it does not name `me`.
pub fn declare_consistent(word: &AtomicU32, me: Token) -> Result<(), Word> {
    let mut seen = Word::held_by(me);
    loop {
        // Partner: `mark_waiting` of others, whose flag is kept. Relaxed: the release that follows
        // publishes it.
        match word.compare_exchange(
            seen.bits(),
            seen.declared_consistent().bits(),
            Relaxed,
            Relaxed,
        ) {
            Ok(_) => return Ok(()),
            Err(bits) => seen = Word::from_bits(bits),
        }
        if !seen.is_owned_by(me) {
            return Err(seen);
        }
    }
}
