//! Records what the workers of a seat did last, in a ring that is printed after a fault.
//!
//! Written outside the critical sections only: the addition that gives out the places would order
//! what the lock has to order.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::system;

const EVENTS: usize = 64;

/// The last events of one seat.
#[repr(C)]
pub(crate) struct Ring {
    next: AtomicU64,
    events: [Event; EVENTS],
}

#[repr(C)]
struct Event {
    when: AtomicU64,
    life: AtomicU64,
    what: AtomicU64,
    lock: AtomicU64,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum What {
    Nothing,
    Born,
    Opening,
    Opened,
    Acquiring,
    NotAcquired,
    Released,
    Closing,
    Closed,
    Looking,
    Forking,
    ChildBorn,
    ThreadBorn,
    HandedOver,
    Leaking,
    DroppingHeld,
    SettingExitEvent,
    Ending,
    Told,
}

const ALL: [What; 19] = [
    What::Nothing,
    What::Born,
    What::Opening,
    What::Opened,
    What::Acquiring,
    What::NotAcquired,
    What::Released,
    What::Closing,
    What::Closed,
    What::Looking,
    What::Forking,
    What::ChildBorn,
    What::ThreadBorn,
    What::HandedOver,
    What::Leaking,
    What::DroppingHeld,
    What::SettingExitEvent,
    What::Ending,
    What::Told,
];

impl Ring {
    pub(crate) fn note(&self, life: u64, what: What, lock: usize) {
        let place = usize::try_from(self.next.fetch_add(1, Relaxed)).unwrap_or(0) % EVENTS;
        let event = &self.events[place];
        event.when.store(system::now(), Relaxed);
        event.life.store(life, Relaxed);
        event.what.store(what as u64, Relaxed);
        event.lock.store(lock as u64, Relaxed);
    }

    /// Prints the events, the oldest first, with the time that has passed since.
    pub(crate) fn print(&self, names: &[String]) {
        let now = system::now();
        let mut events: Vec<_> =
            self.events.iter().filter(|event| event.when.load(Relaxed) != 0).collect();
        events.sort_by_key(|event| event.when.load(Relaxed));
        for event in events {
            let ago = now.saturating_sub(event.when.load(Relaxed)) / 1_000;
            let what = ALL
                .iter()
                .find(|what| **what as u64 == event.what.load(Relaxed))
                .unwrap_or(&What::Nothing);
            let lock =
                usize::try_from(event.lock.load(Relaxed)).ok().and_then(|lock| names.get(lock));
            let lock = lock.map_or("", String::as_str);
            eprintln!("  {ago:>10} µs ago  life {:<7} {what:?} {lock}", event.life.load(Relaxed));
        }
    }
}
