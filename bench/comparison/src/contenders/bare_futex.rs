//! What is the least that a lock costs which puts its waiters to sleep? The reference for every
//! figure.
//!
//! One shared word with three states, as every mutex on a futex has since Drepper's "Futexes Are
//! Tricky": free, held, and held while somebody may be asleep. It knows no owner, no death and no
//! time limit. Who comes spins a little, takes the lock if it becomes free meanwhile, else says
//! that it sleeps, and sleeps. Who leaves wakes one if somebody may be asleep.
//!
//! Who has slept takes the lock in the third state, for others may still be asleep: at worst one
//! wake too many.

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
const HELD_AND_AWAITED: u32 = 2;

/// How often a comer looks before it sleeps. As many as the standard library's mutex, so that this
/// stands for it.
const SPINS: u32 = 100;

/// The word, by itself on its pair of cache lines.
#[derive(Debug)]
#[repr(C, align(128))]
struct Word(AtomicU32);

/// A mapped file with one word in it.
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
            if seen != HELD_AND_AWAITED && word.swap(HELD_AND_AWAITED, Acquire) == FREE {
                return; // partner of Acquire here and below: the Release in `locked` of the one before
            }
            // An error is a word that has changed, or a signal: look again.
            let _ = wait(word, Flags::empty(), HELD_AND_AWAITED, None);
            seen = spin(word);
        }
    }
}

/// Waits a little for the lock to be free, or for others to be asleep already. Relaxed: taking it
/// orders, not looking.
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
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        let word = &self.0.0;
        if word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            self.lock_contended();
        }
        let result = section();
        if word.swap(FREE, Release) == HELD_AND_AWAITED {
            let _ = wake(word, Flags::empty(), 1); // fails on a bad address only, and this one is mapped
        }
        Ok(result)
    }
}
