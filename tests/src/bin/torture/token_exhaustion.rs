//! Keeps tokens scarce on one lock, so that a dead owner's token is soon drawn again.
//!
//! Of a billion tokens two handles never draw the same one in one run. So this worker locks the
//! bytes of all tokens except a few, as a foreign process; a handle that draws finds the first free
//! one of these. And it opens the lock, perhaps with the token that the word names, acquires
//! nothing, and stays as long as the owner is reported dead. If its opening has not freed the word,
//! every waiter now takes the dead owner for alive, and is stuck.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock::{LockState, OwnerState};
use shmlock_tests::hostile::Intruder;

use crate::role::NARROW;
use crate::visit::{Blocks, Make};
use crate::worker::Worker;

/// Enough for the handles of the living processes, and few more. The place is arbitrary.
const SPARED: RangeInclusive<u32> = 100_000..=100_023;

/// Between two openings, and between two probes.
const PAUSE: Duration = Duration::from_millis(2);

/// Runs until the run is over. To be called before any other process opens the lock.
pub(crate) fn watch(worker: &mut Worker<'_>) {
    let make = Make {
        interval: Duration::from_millis(5),
        sleeps: false,
        event: false,
        blocks: Blocks::Never,
        barges: false,
    };
    // Its presence keeps the file.
    assert!(worker.open(NARROW, &make), "the first one finds a token");
    let guest = Intruder::on(&worker.session.path_of(NARROW));
    guest.occupy_all_tokens_outside(Some(SPARED));
    worker.me.seat().ready.store(1, Relaxed);
    while !worker.session.memory.is_over() {
        if let Some(lock) = worker.me.open(&worker.session.names[NARROW], NARROW, &make, None) {
            let is_dead = || {
                lock.status().is_ok_and(|status| status.state == LockState::Held(OwnerState::Dead))
            };
            while is_dead() && !worker.session.memory.is_over() {
                thread::sleep(PAUSE);
            }
            worker.me.close(NARROW, lock);
        }
        thread::sleep(PAUSE);
    }
}
