//! Waits by a timer between attempts, as firmware does that has no futex (`embedded-hal`).
//!
//! Two threads stand for two CPU cores. The timer is the standard library's clock; on a board it
//! comes with the board's support crate. Expected output:
//!
//! ```text
//! 2000 of 2000 steps counted
//! ```

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use embedded_hal::delay::DelayNs;
use shmlock_core::{Error, Region, RegionLock, RegionMemory, wait::Delay};

/// The lock, and the data it protects.
static LOCK: RegionMemory = RegionMemory::new();
static STEPS: AtomicU32 = AtomicU32::new(0);

/// The delay after a failed attempt, in microseconds.
const INTERVAL: u32 = 50;
/// The number of attempts before a waiter gives up, several seconds after the first.
const ATTEMPTS: u32 = 100_000;

/// A timer that blocks.
struct Timer;

impl DelayNs for Timer {
    fn delay_ns(&mut self, nanoseconds: u32) {
        thread::sleep(Duration::from_nanos(nanoseconds.into()));
    }
}

fn main() -> Result<(), Error> {
    let region = Region::from_static(&LOCK)?;
    thread::scope(|scope| {
        let cores = [1, 2].map(|token| {
            let token = NonZeroU16::new(token).expect("tokens begin with 1");
            let core = RegionLock::new(region, token);
            scope.spawn(move || count(&core))
        });
        cores.into_iter().try_for_each(|core| core.join().expect("no core panics"))
    })?;
    println!("{} of 2000 steps counted", STEPS.load(Relaxed));
    Ok(())
}

/// Counts 1000 steps. A load and a store make one step only under the lock.
fn count(core: &RegionLock<'_>) -> Result<(), Error> {
    for _ in 0..1_000 {
        let guard = core.lock(&mut Delay::new(Timer, INTERVAL, ATTEMPTS))?;
        STEPS.store(STEPS.load(Relaxed) + 1, Relaxed);
        guard.release()?;
    }
    Ok(())
}
