//! One thread that sleeps for all tasks: a futex cannot be polled, so somebody has to sleep on it.
//!
//! ```text
//!  a task that is polled            this thread                   whoever gives a lock back
//!  ---------------------            -----------                   -------------------------
//!  tries; marks the word
//!  registers word and waker
//!  rings the bell  ---------------> sleeps on the bell, all words
//!  is pending                       and until the next time   <-- wakes one sleeper on a word
//!                                   takes it off the list,
//!  is polled again <--------------- wakes its waker
//! ```
//!
//! It is started by the first who registers, and ends when nobody has waited for [`LINGER`]. What
//! it knows of a wait is good for one wake; who is polled and has to wait on registers anew. So a
//! future that is forgotten costs one wake.
//!
//! # Whose memory
//!
//! The words lie in mappings of handles. A handle that is closed calls [`forget`], and a word is
//! looked at only under the mutex, while its wait is on the list. The kernel is given addresses
//! without the mutex; should one have been unmapped by then, it answers with an error.
//!
//! # Fork
//!
//! A child has neither this thread nor a use for the waits of its parent, and the mutex may be
//! locked for ever there. So it makes a reactor of its own when it first needs one, and leaves the
//! other alone. A child that is forked by a waker, or by a signal handler in the middle of a poll,
//! goes on with the parent's; it is told apart by the generation (`fork.rs`).
//!
//! # Foreign code
//!
//! Wakers are: what they do when they are cloned, called and dropped is their program's business.
//! Nothing of it runs under the mutex, nor between two steps that belong together, and a panic of
//! theirs ends here.

#![allow(unsafe_code, reason = "looks at words in mappings that it does not own")]

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU32};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};
use std::{io, mem, ptr};

use crate::process::registry::Slot;
use crate::sys::fork::{self, ProcessGeneration};
use crate::sys::futex;
use crate::sys::futex_waitv::{self, Target, Woken};
use crate::sys::signal_mask;
use crate::tell::contain;
use crate::wait::exit_event::{ExitEvent, WAITING_ALLOWED};

/// How long the thread stays when nobody waits any more. Long beside the 50 µs that it takes to
/// start one, short beside what anybody would notice; arbitrary beyond that.
const LINGER: Duration = Duration::from_millis(50);

/// How many words it can sleep on beside its bell; the waits beyond that are woken by their own
/// time.
const WORDS: usize = futex_waitv::MAX - 1;

/// What is waited for.
pub(crate) struct Wait {
    /// The handle that waits: it calls [`forget`] before it is closed.
    pub(crate) handle: &'static Slot,
    /// In which process it was opened.
    pub(crate) birth: ProcessGeneration,
    /// Its owner word and what stands there; `None`: nobody will wake us.
    pub(crate) word: Option<(*const AtomicU32, u32)>,
    /// Ends the wait, too. Kept alive by being here.
    pub(crate) event: Option<ExitEvent>,
    /// When to wake in any case.
    pub(crate) until: Instant,
    pub(crate) waker: Waker,
}

// SAFETY: the pointer is followed only while the wait is on the list, under the mutex; until
// `forget` the mapping lives, and it belongs to the process, not to a thread.
unsafe impl Send for Wait {}

/// A wait on the list.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// The reactor of this process; null before the first wait. After a fork it is still the parent's.
static PRESENT: AtomicPtr<Reactor> = AtomicPtr::new(ptr::null_mut());

struct Reactor {
    /// In which process, see `fork.rs`.
    generation: u32,
    /// Counted up whenever the list changes so that the thread has to look at it.
    bell: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waits: Vec<(u64, Wait)>,
    last_ticket: u64,
    /// Whether there is a thread.
    runs: bool,
}

/// Puts a wait on the list; its waker is woken once, when the word or the event changes or the time
/// has come. `None`, and nothing is on the list, in a child that a signal handler has forked
/// meanwhile.
///
/// # Errors
/// The thread could not be started.
pub(crate) fn register(wait: Wait) -> io::Result<Option<Ticket>> {
    let reactor = Reactor::of_this_process();
    let mut state = reactor.lock();
    if !state.runs {
        // No signal handler of the program is to run in a thread that it does not know of.
        let builder = thread::Builder::new().name("shmlock-async".to_owned());
        if let Err(error) = signal_mask::with_all_blocked(|| builder.spawn(move || reactor.run())) {
            drop(state);
            drop(Gone(vec![(0, wait)]));
            return Err(error);
        }
        state.runs = true;
    }
    if !wait.birth.is_here() {
        drop(state);
        drop(Gone(vec![(0, wait)]));
        return Ok(None);
    }
    state.last_ticket += 1;
    let ticket = state.last_ticket;
    state.waits.push((ticket, wait));
    reactor.ring(state);
    Ok(Some(Ticket(ticket)))
}

/// Takes a wait off the list, if it is still there.
pub(crate) fn cancel(ticket: &Ticket) -> Gone {
    Reactor::present()
        .map_or_else(Gone::default, |reactor| reactor.remove(|number, _| number == ticket.0))
}

/// Takes every wait of a handle off the list: it is about to be closed. None is left unless futures
/// were forgotten.
pub(crate) fn forget(handle: &'static Slot) -> Gone {
    Reactor::present().map_or_else(Gone::default, |reactor| {
        reactor.remove(|_, wait| ptr::eq(wait.handle, handle))
    })
}

/// Waits that are on no list any more. Dropping them lets go of their wakers, which is foreign
/// code: do it last.
#[derive(Default)]
#[must_use = "wakers are let go of when it is dropped"]
pub(crate) struct Gone(Vec<(u64, Wait)>);

impl Drop for Gone {
    fn drop(&mut self) {
        for (_, Wait { event, waker, .. }) in self.0.drain(..) {
            drop(event);
            contain(|| drop(waker));
        }
    }
}

impl Reactor {
    /// Returns the reactor of this process, if there is one.
    fn present() -> Option<&'static Self> {
        Self::at(Self::installed())
    }

    /// Returns what is installed, which may be a parent's.
    fn installed() -> *mut Self {
        // Pairs with the exchange in `of_this_process`: the reactor is whole.
        PRESENT.load(Acquire)
    }

    /// Returns the reactor at this address, if it is one of this process.
    fn at(installed: *mut Self) -> Option<&'static Self> {
        // SAFETY: null, or leaked by `of_this_process` and never freed.
        let reactor = unsafe { installed.as_ref() }?;
        (reactor.generation == fork::present_generation()).then_some(reactor)
    }

    fn new() -> Self {
        let generation = fork::present_generation();
        Self { generation, bell: AtomicU32::new(0), state: Mutex::default() }
    }

    /// Returns the reactor of this process; makes it if there is none.
    ///
    /// A process has one. A wait in another one would be found neither by [`cancel`] nor by
    /// [`forget`], and its word read after the unmapping. So the value that is exchanged is the one
    /// that was seen to be no reactor of this process.
    fn of_this_process() -> &'static Self {
        let mut installed = Self::installed();
        let mut spare: Option<&'static Self> = None;
        loop {
            if let Some(reactor) = Self::at(installed) {
                return reactor;
            }
            let new: &'static Self = spare.unwrap_or_else(|| Box::leak(Box::new(Self::new())));
            spare = Some(new);
            // Pairs with the load in `installed`. If another thread is faster, which is rare, the
            // spare is lost.
            match PRESENT.compare_exchange(
                installed,
                ptr::from_ref(new).cast_mut(),
                AcqRel,
                Acquire,
            ) {
                Ok(_) => return new,
                Err(now) => installed = now,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread look at the list.
    fn ring(&self, state: MutexGuard<'_, State>) {
        self.bell.fetch_add(1, Relaxed); // partner: the load in `run`; both under the mutex, which orders
        drop(state);
        futex::wake_all(&self.bell);
    }

    fn remove(&self, is_it: impl Fn(u64, &Wait) -> bool) -> Gone {
        let mut state = self.lock();
        let gone: Vec<_> = state.waits.extract_if_so(|(number, wait)| is_it(*number, wait));
        if state.waits.is_empty() && !gone.is_empty() {
            self.ring(state); // or it would sleep until the time of a wait that is no more
        } else {
            drop(state);
        }
        Gone(gone)
    }

    /// The thread.
    fn run(&'static self) {
        let mut idle_since = None;
        let mut woken = Woken::Nothing;
        loop {
            let mut state = self.lock();
            let now = Instant::now();
            let ready = state
                .waits
                .extract_if_so(|(number, wait)| wait.is_over(now) || woken.is_of(*number));
            if !ready.is_empty() {
                if ready.iter().any(|(number, _)| woken.is_of(*number)) {
                    woken = Woken::Nothing; // it reaches the one that it was for
                }
                // Their events are let go of under the mutex: once a wait is off the list, nothing
                // of it is left but its waker, so that a program that closes its lock and its event
                // has closed them.
                let wakers: Vec<Waker> = ready.into_iter().map(|(_, wait)| wait.waker).collect();
                drop(state);
                for waker in wakers {
                    contain(|| waker.wake());
                    if self.generation != fork::present_generation() {
                        return; // it has forked, and this is the child: the list is the parent's
                    }
                }
                continue;
            }
            // If still there, the wake was for one who has gone meanwhile. It is due to somebody
            // else.
            let stray = mem::replace(&mut woken, Woken::Nothing);
            let until = match state.waits.iter().map(|(_, wait)| wait.until).min() {
                Some(until) => {
                    idle_since = None;
                    until
                }
                None => *idle_since.get_or_insert(now) + LINGER,
            };
            if state.waits.is_empty() && until <= now {
                state.runs = false;
                drop(state);
                return stray.pass_on();
            }
            let bell =
                Target { ticket: 0, word: &raw const self.bell, value: self.bell.load(Relaxed) };
            let targets: Vec<_> = std::iter::once(bell)
                .chain(state.waits.iter().flat_map(Wait::targets).take(WORDS))
                .collect();
            drop(state);
            stray.pass_on();
            woken = futex_waitv::wait_any(&targets, &self.bell, until);
        }
    }
}

impl Wait {
    /// Whether there is something to wake for. Under the mutex, while the wait is on the list.
    fn is_over(&self, now: Instant) -> bool {
        let has_changed = |(word, value): (*const AtomicU32, u32)| {
            // SAFETY: on the list, so the handle has not been closed and its mapping lives.
            let word = unsafe { &*word };
            word.load(Relaxed) != value // partner: whoever moves the owner word. Relaxed: the task judges anew
        };
        self.until <= now
            || self.word.is_some_and(has_changed)
            || self.event.as_ref().is_some_and(|event| !matches!(event.is_set(), Ok(false)))
    }

    /// What to sleep on.
    fn targets(&(ticket, ref wait): &(u64, Wait)) -> impl Iterator<Item = Target> + use<> {
        let lock = wait.word.map(|(word, value)| Target { ticket, word, value });
        let event = wait.event.as_ref().and_then(|event| event.own_word().ok());
        // No ticket: everybody who sleeps on an event is woken, so that wake is nobody's in
        // particular.
        let event = event.map(|word| Target {
            ticket: 0,
            word: ptr::from_ref(word),
            value: WAITING_ALLOWED,
        });
        [lock, event].into_iter().flatten()
    }
}

trait ExtractIfSo<T> {
    /// Takes out what it is so of; the order of what stays is lost.
    fn extract_if_so(&mut self, so: impl Fn(&T) -> bool) -> Vec<T>;
}

impl<T> ExtractIfSo<T> for Vec<T> {
    fn extract_if_so(&mut self, so: impl Fn(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        let mut index = 0;
        while let Some(item) = self.get(index) {
            if so(item) {
                out.push(self.swap_remove(index));
            } else {
                index += 1;
            }
        }
        out
    }
}
