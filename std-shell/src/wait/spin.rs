//! Waiting awake: looking at the word now and then, for as long as that is cheaper than to sleep.

use std::time::Duration;

use shmlock_core::Region;
use shmlock_core::wait::WaitContext;

use crate::shm::attach::Attachment;
use crate::sys::clock::BootInstant;
use crate::wait::fairness::{Fairness, Pace};

/// How long to wait awake: about what a sleep and a wake cost, so that it at most doubles the price
/// of a wait. By the clock, not by looks: a spin hint takes from 1 ns to 40 ns on the processors we
/// know.
pub(crate) const LIMIT: Duration = Duration::from_micros(10);

/// How many spin hints there are between two readings of the clock, which takes as long as one or
/// two of them.
const READING: u32 = 32;

/// For how long the lock may stand still before its owner is held to have no processor, most likely
/// because somebody has been woken onto it: at least so long, and twice what an acquisition has
/// taken of late. Then a waiter that stays awake may be on the very processor that the owner needs.
/// With it four processes do an eighth more sections of 1 µs, for a tenth less processor time each.
const STILL: Duration = Duration::from_micros(2);

/// How many spin hints there are between two looks: at first, at most, and where it may watch
/// closely. Each look takes the cache line from the owner, who does sections of some 10 ns faster,
/// and so is done sooner, if it is looked at less often. An owner whose section is long does not
/// miss the line. (Half of `FIRST` changes nothing for four processes without work.)
const FIRST: u32 = 8;
const SLOWEST: u32 = 32;
const CLOSELY: u32 = 1;

/// How many spin hints long to look before anything is prepared for waiting. That takes a reading
/// of the clock or two and more, some 100 ns, and the first look after that comes later still; most
/// short sections are over by then. With it fifteen processes that have a little to do between
/// their sections, and not long to live, take two thirds of the time for each. Without anything
/// to do between they get a sixth less done; with eight hints, half less.
const SOON: u32 = 3;

/// Whether the lock looks free before it is worth preparing to wait.
pub(crate) fn is_soon_free(region: Region<'_>) -> bool {
    (0..SOON).any(|_| {
        std::hint::spin_loop();
        region.word().is_free()
    })
}

/// Looks for a while. Returns `true` if the lock looks free now, and `false` at once in a child
/// that a signal handler has forked meanwhile.
pub(super) fn spin(
    contention: &WaitContext<'_>,
    shared: &Attachment,
    fairness: &Fairness,
    begin: BootInstant,
) -> bool {
    // The count of acquisitions, which stands beside the word: by its increase only how often to
    // look, and for how long.
    let count = || shared.region().fencing_token();
    let first = count();
    if contention.has_waiters_hint() {
        fairness.note_sleepers(begin);
    }
    let mut pauses = match fairness.pace(begin) {
        Pace::Closely => CLOSELY,
        Pace::AsUsual => FIRST,
        Pace::Seldom => SLOWEST,
    };
    let still = fairness.period().saturating_mul(2).max(STILL);
    let mut before = first;
    let (mut hints, mut reading) = (0, READING);
    let (mut read, mut moved_at) = (first, begin);
    loop {
        for _ in 0..pauses {
            std::hint::spin_loop();
        }
        hints += pauses;
        if !shared.is_ours() {
            return false;
        }
        let now = count();
        if contention.looks_free() {
            fairness.look_back(hints, u32::try_from(now.wrapping_sub(first)).unwrap_or(u32::MAX));
            return true;
        }
        if now.wrapping_sub(before) > 1 {
            pauses = SLOWEST.min(pauses * 2);
        }
        before = now;
        if hints >= reading {
            let present = BootInstant::now();
            if now != read {
                (read, moved_at) = (now, present);
            }
            if present.since(begin) >= LIMIT || present.since(moved_at) >= still {
                return false;
            }
            reading = hints + READING;
        }
    }
}

/// What there is to see of the one that we have woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// It has had the lock, or does not want it: the lock looks free.
    HasPassed,
    /// It has the lock: the word asks for a wake, for it has slept.
    IsIn,
    /// Nothing. It may be on its way, or be awake and take turns with others, or dead.
    Nothing,
}

/// Lets the one go first that we have woken, and looks what has become of it.
pub(super) fn step_back(contention: &WaitContext<'_>) -> Woken {
    let look = || match (contention.looks_free(), contention.has_waiters_hint()) {
        (true, _) => Some(Woken::HasPassed),
        (false, true) => Some(Woken::IsIn),
        (false, false) => None,
    };
    look().unwrap_or_else(|| {
        std::thread::yield_now();
        look().unwrap_or(Woken::Nothing)
    })
}
