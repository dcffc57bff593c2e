//! Keeps tokens scarce on one lock, so that a dead owner's token is soon given to somebody else.
//!
//! Of a billion tokens two handles never draw the same one in one run. So this worker locks the
//! bytes of all but a few, as a guest that minds nobody's business; whoever draws is led to the
//! first free one of these. And it holds vigils: it opens the lock, perhaps with the token that
//! stands in the word, takes nothing, and stays as long as the owner is said to be dead. If its
//! opening has not freed the word, everybody takes the dead owner for alive now, and is stuck.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock::{LockState, OwnerState};
use shmlock_tests::hostile::Intruder;

use crate::role::NARROW;
use crate::visit::{Blocks, Make};
use crate::worker::Worker;

/// Enough for the handles of those who live, and few more. Any place will do.
const SPARED: RangeInclusive<u32> = 100_000..=100_023;

/// Between two vigils.
const PAUSE: Duration = Duration::from_millis(2);

/// Watches until the run is over. To be called when nobody else has the lock open.
pub(crate) fn watch(worker: &mut Worker<'_>) {
    let make = Make {
        interval: Duration::from_millis(5),
        sleeps: false,
        event: false,
        blocks: Blocks::Never,
    };
    // Its presence keeps the file.
    assert!(worker.open(NARROW, &make), "the first one finds a token");
    let guest = Intruder::on(&worker.session.path_of(NARROW));
    guest.occupy_all_tokens_outside(Some(SPARED));
    worker.me.seat().ready.store(1, Relaxed);
    while !worker.session.memory.is_over() {
        if let Some(lock) = worker.me.open(&worker.session.names[NARROW], NARROW, &make, None) {
            let is_dead = || {
                lock.status()
                    .is_ok_and(|health| health.occupancy == LockState::Held(OwnerState::Dead))
            };
            while is_dead() && !worker.session.memory.is_over() {
                thread::sleep(PAUSE);
            }
            worker.me.close(NARROW, lock);
        }
        thread::sleep(PAUSE);
    }
}
