//! Waits by a timer that is awaited, as tasks on one CPU core do (`embedded-hal-async`).
//!
//! A task that waits lets the others run; dropping it leaves no trace. Timer and executor are the
//! smallest possible. Expected output:
//!
//! ```text
//! a task that waited was dropped; the word says: held by 1
//! 300 of 300 steps counted
//! ```

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use embedded_hal_async::delay::DelayNs;
use shmlock_core::{Error, Region, RegionLock, RegionMemory, wait_async::Delay};

/// The lock, and the data it protects.
static LOCK: RegionMemory = RegionMemory::new();
static STEPS: AtomicU32 = AtomicU32::new(0);

type Task = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// A timer that is awaited. A board's timer would wake the executor by an interrupt.
struct Timer;

impl DelayNs for Timer {
    async fn delay_ns(&mut self, nanoseconds: u32) {
        let end = Instant::now() + Duration::from_nanos(nanoseconds.into());
        poll_fn(|_| if Instant::now() < end { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

/// Waits 50 µs after a failed attempt, and gives up after 100000.
fn delay() -> Delay<Timer> {
    Delay::new(Timer, 50, 100_000)
}

fn main() -> Result<(), Error> {
    let region = Region::from_static(&LOCK)?;
    let [one, two, three] = [1, 2, 3].map(|token| NonZeroU16::new(token).expect("not zero"));

    let owner = RegionLock::new(region, one);
    let guard = owner.try_lock()?.expect("free: nothing else runs");
    let waiter = RegionLock::new(region, two);
    let mut context = Context::from_waker(Waker::noop());
    let mut delay = delay();
    let mut waiting = Box::pin(waiter.lock_async(&mut delay));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop(waiting);
    println!("a task that waited was dropped; the word says: {:?}", region.word());
    guard.release()?;
    let tasks = [one, two, three].map(|token| Box::pin(count(region, token)) as Task);
    let mut tasks = VecDeque::from(tasks);
    while let Some(mut task) = tasks.pop_front() {
        match task.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => tasks.push_back(task),
        }
    }
    println!("{} of 300 steps counted", STEPS.load(Relaxed));
    Ok(())
}

/// Counts 100 steps, each of which takes the task some time under the lock.
async fn count(region: Region<'static>, token: NonZeroU16) -> Result<(), Error> {
    let task = RegionLock::new(region, token);
    for _ in 0..100 {
        let guard = task.lock_async(&mut delay()).await?;
        let steps = STEPS.load(Relaxed);
        Timer.delay_us(10).await;
        STEPS.store(steps + 1, Relaxed);
        guard.release()?;
    }
    Ok(())
}
