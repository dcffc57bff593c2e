//! Describes the wait of one task, as the reactor keeps it.

#![allow(unsafe_code, reason = "reads words in mappings that it does not own")]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Instant;

use crate::process::registry::Slot;
use crate::sys::fork::ProcessGeneration;
use crate::sys::futex_waitv::Target;
use crate::wait::exit_event::{ExitEvent, WAITING_ALLOWED};

/// A wait of one task.
pub(crate) struct Wait {
    /// The handle that waits. It calls `reactor::forget` before it is closed.
    pub(crate) handle: &'static Slot,
    /// The process in which the handle was opened.
    pub(crate) birth: ProcessGeneration,
    /// The owner word and its value; `None` if no wake will come.
    pub(crate) word: Option<(*const AtomicU32, u32)>,
    /// Ends the wait as well. The wait keeps the event alive.
    pub(crate) event: Option<ExitEvent>,
    /// When to wake the task in any case.
    pub(crate) until: Instant,
    /// When to wake the task if the thread cannot sleep on its words: no wake reaches it then.
    pub(crate) interval: Instant,
    /// The thread has room for its words. Kept by the thread.
    pub(crate) fits: bool,
    pub(crate) waker: Waker,
}

// SAFETY: the pointer is followed only while the wait is on the list, under the mutex; until
// `forget` the mapping lives, and it belongs to the process, not to a thread.
unsafe impl Send for Wait {}

impl Wait {
    /// Returns `true` if its task is to be woken. Under the mutex, while the wait is on the list.
    pub(super) fn is_over(&self, now: Instant, all_words: bool) -> bool {
        let has_changed = |(word, value): (*const AtomicU32, u32)| {
            // SAFETY: on the list, so the handle has not been closed and its mapping lives.
            let word = unsafe { &*word };
            // Partner: the swaps of the owner word. Relaxed: the task judges anew.
            word.load(Relaxed) != value
        };
        self.end(all_words) <= now
            || self.word.is_some_and(has_changed)
            || self.event.as_ref().is_some_and(|event| !matches!(event.is_set(), Ok(false)))
    }

    /// Returns when to wake its task in any case. `all_words`: the kernel lets the thread sleep on
    /// all words that it has room for.
    pub(super) fn end(&self, all_words: bool) -> Instant {
        if self.fits && all_words { self.until } else { self.until.min(self.interval) }
    }

    /// Returns the number of words to sleep on, at most.
    pub(super) fn words(&self) -> usize {
        usize::from(self.word.is_some()) + usize::from(self.event.is_some())
    }

    /// Returns the words to sleep on.
    pub(super) fn targets(
        &(ticket, ref wait): &(u64, Wait),
    ) -> impl Iterator<Item = Target> + use<> {
        let lock = wait.word.map(|(word, value)| Target { ticket, word, value });
        let event = wait.event.as_ref().and_then(|event| event.own_word().ok());
        // No ticket: an event wakes all its sleepers, so the wake is for no wait in particular.
        let event = event.map(|word| Target {
            ticket: 0,
            word: ptr::from_ref(word),
            value: WAITING_ALLOWED,
        });
        [lock, event].into_iter().flatten()
    }
}
