//! A bare futex: the least cost of a lock whose waiters sleep, and the reference of most figures.
//!
//! One shared word with three states, as in Drepper's "Futexes Are Tricky": free, held, and held
//! with waiters. It knows no owner, no death and no timeout. A contender spins for a short time and
//! acquires the lock if it becomes free. Else it sets the third state and sleeps. The owner wakes
//! one waiter if it releases the third state.
//!
//! A waiter that slept acquires the lock in the third state, as others may still be asleep. The
//! price is one superfluous wake.

use std::hint::spin_loop;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::thread::futex::{Flags, wait, wake};
use shmlock_bench_support::Result;

use super::Contender;
use crate::memory::Mapping;
use crate::place::Place;

const FREE: u32 = 0;
const HELD: u32 = 1;
const HELD_WITH_WAITERS: u32 = 2;

/// The number of attempts before a contender sleeps: that of the standard library's mutex, which
/// this contender represents.
const SPINS: u32 = 100;

/// The word, on a pair of cache lines of its own.
#[derive(Debug)]
#[repr(C, align(128))]
struct Word(AtomicU32);

/// A mapped file that holds the word.
#[derive(Debug)]
pub(crate) struct BareFutex(Mapping<Word>);

impl BareFutex {
    #[cold]
    fn lock_contended(&self) {
        let word = &self.0.0;
        let mut seen = spin(word);
        if seen == FREE {
            match word.compare_exchange(FREE, HELD, Acquire, Relaxed) {
                Ok(_) => return,
                Err(found) => seen = found,
            }
        }
        loop {
            if seen != HELD_WITH_WAITERS && word.swap(HELD_WITH_WAITERS, Acquire) == FREE {
                return; // partner of Acquire, here and below: the Release in `locked`
            }
            // Fails on a changed word or a signal; the loop tries again.
            let _ = wait(word, Flags::empty(), HELD_WITH_WAITERS, None);
            seen = spin(word);
        }
    }
}

/// Spins until the lock is free or has waiters, at most for [`SPINS`] attempts. Relaxed: the
/// acquisition orders.
fn spin(word: &AtomicU32) -> u32 {
    for _ in 0..SPINS {
        let seen = word.load(Relaxed);
        if seen != HELD {
            return seen;
        }
        spin_loop();
    }
    word.load(Relaxed)
}

impl Contender for BareFutex {
    fn prepare(place: &Place) -> Result<()> {
        Mapping::<Word>::create(&place.file("futex")).map(drop)
    }

    fn open(place: &Place) -> Result<Self> {
        Ok(Self(Mapping::open(&place.file("futex"))?))
    }

    #[inline]
    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        let word = &self.0.0;
        if word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            self.lock_contended();
        }
        let result = critical_section();
        if word.swap(FREE, Release) == HELD_WITH_WAITERS {
            let _ = wake(word, Flags::empty(), 1); // the address is valid
        }
        Ok(result)
    }
}
