//! Sleeps for all tasks of the process, in one thread: a futex cannot be polled.
//!
//! ```text
//!  a task that is polled            this thread                   an owner that releases
//!  ---------------------            -----------                   ----------------------
//!  tries; sets WAITERS
//!  registers word and waker
//!  rings the bell  ---------------> sleeps on the bell, all words
//!  is pending                       and until the next time   <-- wakes one sleeper on a word
//!                                   takes it off the list,
//!  is polled again <--------------- wakes its waker
//! ```
//!
//! The first wait starts the thread, which ends when there has been none for [`IDLE_TIMEOUT`]. An
//! entry is good for one wake. A task that must go on waiting registers again. So a future that is
//! forgotten (`mem::forget`) costs one wake.
//!
//! # Memory
//!
//! The words lie in mappings of handles. A handle that is closed calls [`forget`], and a word is
//! read only under the mutex, while its wait is on the list. The kernel gets addresses without the
//! mutex; if one has been unmapped by then, it answers with an error.
//!
//! # Fork
//!
//! A child has neither this thread nor a use for its parent's waits, and the mutex may be locked
//! for ever there. So the child makes a reactor of its own when it first needs one, and leaves the
//! other alone. A child that is forked by a waker, or by a signal handler during a poll, runs on
//! with the parent's; the generation tells it apart (`sys/fork.rs`).
//!
//! # Foreign code
//!
//! Wakers are foreign code when they are cloned, called and dropped. None of it runs under the
//! mutex, nor between two steps that belong together. A panic of a waker ends here.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Instant;
use std::{io, mem, ptr};

use crate::process::registry::Slot;
use crate::sys::futex;
use crate::sys::futex_waitv::{self, Target, Woken};
use crate::sys::per_process::PerProcess;
use crate::sys::signal_mask;
use crate::tell::contain;
use crate::wait::task_wait::Wait;
use crate::wait::tuning::IDLE_TIMEOUT;

/// How many words it can sleep on beside its bell. Further waits are woken by their interval.
const WORDS: usize = futex_waitv::MAX - 1;

/// A wait on the list.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// The reactor of this process. There is one: [`cancel`] and [`forget`] would not find a wait in a
/// second one, whose word would be read after it is unmapped.
static REACTOR: PerProcess<Reactor> = PerProcess::new();

#[derive(Default)]
struct Reactor {
    /// Counts the changes of the list that the thread must see.
    bell: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waits: Vec<(u64, Wait)>,
    last_ticket: u64,
    /// The thread has been started, and has not ended.
    has_thread: bool,
}

/// Puts a wait on the list. Its waker is called once: when the word or the event changes, or the
/// time has come. In a child that a signal handler has forked meanwhile, returns `None` and puts
/// nothing on the list.
///
/// # Errors
/// The thread could not be started.
pub(crate) fn register(wait: Wait) -> io::Result<Option<Ticket>> {
    let reactor = REACTOR.get_or_make(Reactor::default);
    let mut state = reactor.lock();
    if !state.has_thread {
        // No signal handler of the program runs in a thread that the program does not know of.
        let builder = thread::Builder::new().name("shmlock-async".to_owned());
        if let Err(error) = signal_mask::with_all_blocked(|| builder.spawn(move || reactor.run())) {
            drop(state);
            drop(Gone(vec![(0, wait)]));
            return Err(error);
        }
        state.has_thread = true;
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
    REACTOR
        .get()
        .map_or_else(Gone::default, |reactor| reactor.remove(|number, _| number == ticket.0))
}

/// Takes every wait of a handle off the list, before the handle is closed. There is none unless
/// futures were forgotten.
pub(crate) fn forget(handle: &'static Slot) -> Gone {
    REACTOR.get().map_or_else(Gone::default, |reactor| {
        reactor.remove(|_, wait| ptr::eq(wait.handle, handle))
    })
}

/// Waits that are on no list any more. Its drop drops wakers, which is foreign code: drop it last.
#[derive(Default)]
#[must_use = "its drop runs foreign code"]
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
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the thread read the list again.
    fn ring(&self, state: MutexGuard<'_, State>) {
        self.bell.fetch_add(1, Relaxed); // partner: the load in `run`; the mutex orders both
        drop(state);
        futex::wake_all(&self.bell);
    }

    fn remove(&self, matches: impl Fn(u64, &Wait) -> bool) -> Gone {
        let mut state = self.lock();
        let gone = state.extract(|number, wait| matches(number, wait));
        if state.waits.is_empty() && !gone.is_empty() {
            self.ring(state); // or the thread would sleep until the time of a wait that is gone
        } else {
            drop(state);
        }
        Gone(gone)
    }

    /// Runs the thread.
    fn run(&'static self) {
        let mut idle_since = None;
        let mut woken = Woken::Nothing;
        let mut all_words = true;
        loop {
            let mut state = self.lock();
            let now = Instant::now();
            let ready =
                state.extract(|number, wait| wait.is_over(now, all_words) || woken.is_of(number));
            if !ready.is_empty() {
                if ready.iter().any(|(number, _)| woken.is_of(*number)) {
                    woken = Woken::Nothing; // it reaches its task
                }
                // Their events are dropped under the mutex. Once a wait is off the list only its
                // waker is left, so a program that closes its lock and its event has closed them.
                let wakers: Vec<Waker> = ready.into_iter().map(|(_, wait)| wait.waker).collect();
                drop(state);
                for waker in wakers {
                    contain(|| waker.wake());
                    if REACTOR.get().is_none() {
                        return; // the waker forked, and this is the child: the list is the parent's
                    }
                }
                continue;
            }
            // A wake that is still here was for a wait that is gone. Another sleeper is due it.
            let stray = mem::replace(&mut woken, Woken::Nothing);
            let mut words = 0;
            for (_, wait) in &mut state.waits {
                words += wait.words();
                wait.fits = words <= WORDS;
            }
            let until = match state.waits.iter().map(|(_, wait)| wait.end(all_words)).min() {
                Some(until) => {
                    idle_since = None;
                    until
                }
                None => *idle_since.get_or_insert(now) + IDLE_TIMEOUT,
            };
            if state.waits.is_empty() && until <= now {
                state.has_thread = false;
                drop(state);
                return stray.pass_on();
            }
            let bell =
                Target { ticket: 0, word: &raw const self.bell, value: self.bell.load(Relaxed) };
            let targets: Vec<_> = std::iter::once(bell)
                .chain(state.waits.iter().take_while(|(_, wait)| wait.fits).flat_map(Wait::targets))
                .collect();
            drop(state);
            stray.pass_on();
            woken = futex_waitv::wait_any(&targets, &self.bell, until);
            all_words = !matches!(woken, Woken::Refused);
        }
    }
}

impl State {
    /// Takes the matching waits off the list. The order of the rest is lost.
    fn extract(&mut self, matches: impl Fn(u64, &Wait) -> bool) -> Vec<(u64, Wait)> {
        let mut out = Vec::new();
        let mut index = 0;
        while let Some((number, wait)) = self.waits.get(index) {
            if matches(*number, wait) {
                out.push(self.waits.swap_remove(index));
            } else {
                index += 1;
            }
        }
        out
    }
}
