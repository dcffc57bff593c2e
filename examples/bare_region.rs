//! The core alone, as firmware uses it: a lock in 128 bytes of memory, without names, files,
//! processes or a clock.
//!
//! Two threads stand for two CPU cores, each with a fixed token. Expected output:
//!
//! ```text
//! core 1 gives up: the lock is not free (held by 2); wait longer or try again
//! held by pid 0, uuid 00000000-0000-0000-0000-000000000002, "blinking"
//! core 2 acquired it twice, released it once, and still holds it: true
//! 20000 of 20000 steps counted
//! ```

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{Error, Record, Region, RegionLock, RegionMemory};
use shmlock_core::{record::description, uuid::Uuid};

/// The lock, and the data it protects.
static LOCK: RegionMemory = RegionMemory::new();
static STEPS: AtomicU32 = AtomicU32::new(0);

const CORE_1: NonZeroU16 = NonZeroU16::new(1).unwrap();
const CORE_2: NonZeroU16 = NonZeroU16::new(2).unwrap();

/// Yields between attempts, and gives up after this many. Firmware would sleep until an interrupt.
struct Yield(u32);

impl Wait for Yield {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        if contention.attempt() < self.0 { WaitAction::Retry } else { WaitAction::GiveUp }
    }
}

fn main() -> Result<(), Error> {
    let region = Region::from_static(&LOCK)?;
    let record = Record {
        uuid: Uuid::from_u128(2),
        description: description("blinking")?,
        ..Record::default()
    };
    let core_1 = RegionLock::new(region, CORE_1);
    let core_2 = RegionLock::new(region, CORE_2).with_record(record);

    let guard = core_2.lock(&mut Yield(0))?;
    if let Err(error) = core_1.lock(&mut Yield(3)) {
        println!("core 1 gives up: {error}");
    }
    if let Some(holder) = core_1.holder() {
        println!("held by {holder}");
    }
    drop(core_2.try_lock()?);
    let held = core_2.is_held();
    println!("core 2 acquired it twice, released it once, and still holds it: {held}");
    guard.release()?;

    thread::scope(|scope| {
        let cores = [core_1, core_2].map(|core| scope.spawn(move || count(&core)));
        cores.into_iter().try_for_each(|core| core.join().expect("no core panics"))
    })?;
    println!("{} of 20000 steps counted", STEPS.load(Relaxed));
    Ok(())
}

/// Counts 10000 steps. A load and a store make one step only under the lock.
fn count(core: &RegionLock<'_>) -> Result<(), Error> {
    for _ in 0..10_000 {
        let guard = core.lock(&mut Yield(u32::MAX))?;
        STEPS.store(STEPS.load(Relaxed) + 1, Relaxed);
        guard.release()?;
    }
    Ok(())
}
