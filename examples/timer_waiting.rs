//! Waiting by a timer, as firmware does it: by one that blocks (`embedded-hal`) and by one that is
//! awaited (`embedded-hal-async`). Here both are made of the standard library's clock; on a board
//! they come with its support crate.
//!
//! First two threads stand for two cores, each of which has nothing else to do while it waits. Then
//! three tasks share one core: who waits lets the others run, and a task that gives up waiting
//! leaves no trace. Expected output:
//!
//! ```text
//! two cores: 2000 of 2000 steps counted
//! a task that waited was dropped; the word says: held by 1
//! three tasks: 300 of 300 steps counted
//! ```

use std::future::{Future, poll_fn};
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use shmlock_core::{Error, Region, RegionLock, RegionMemory, wait, wait_async};

static LOCK: RegionMemory = RegionMemory::new();
static STEPS: AtomicU32 = AtomicU32::new(0);

/// How long to sleep after a failed attempt, in microseconds, and how often before giving up: some
/// seconds together.
const INTERVAL: u32 = 50;
const ATTEMPTS: u32 = 100_000;

type Task = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// The standard library's clock as a timer of either kind.
#[derive(Clone, Copy)]
struct Clock;

impl embedded_hal::delay::DelayNs for Clock {
    fn delay_ns(&mut self, nanoseconds: u32) {
        thread::sleep(Duration::from_nanos(nanoseconds.into()));
    }
}

impl embedded_hal_async::delay::DelayNs for Clock {
    async fn delay_ns(&mut self, nanoseconds: u32) {
        let end = Instant::now() + Duration::from_nanos(nanoseconds.into());
        // A timer of a board would have the executor woken by an interrupt. This executor looks
        // again by itself.
        poll_fn(|_| if Instant::now() < end { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

fn main() -> Result<(), Error> {
    let region = Region::from_static(&LOCK)?;
    let contender =
        |token| RegionLock::new(region, NonZeroU16::new(token).expect("tokens begin with 1"));

    thread::scope(|scope| {
        let cores = [1, 2].map(|token| {
            let core = contender(token);
            scope.spawn(move || count(&core))
        });
        cores.into_iter().try_for_each(|core| core.join().expect("no core panics"))
    })?;
    println!("two cores: {} of 2000 steps counted", STEPS.swap(0, Relaxed));

    let (holder, impatient) = (contender(1), contender(2));
    let guard = holder.lock(&mut wait::Spin::attempts(1))?;
    let mut delay = wait_async::Delay::new(Clock, INTERVAL, ATTEMPTS);
    let mut waiting = Box::pin(impatient.lock_async(&mut delay));
    let still_waiting = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    drop(waiting);
    println!(
        "a task that {} was dropped; the word says: {:?}",
        if still_waiting { "waited" } else { "had it" },
        region.word()
    );
    guard.release()?;

    let tasks = [1, 2, 3].map(|token| Box::pin(count_async(contender(token))) as Task);
    run(tasks.into())?;
    println!("three tasks: {} of 300 steps counted", STEPS.load(Relaxed));
    Ok(())
}

/// What each core does. The counting is two accesses on purpose: the lock makes them one.
fn count(core: &RegionLock<'_>) -> Result<(), Error> {
    for _ in 0..1_000 {
        let guard = core.lock(&mut wait::Delay::new(Clock, INTERVAL, ATTEMPTS))?;
        STEPS.store(STEPS.load(Relaxed) + 1, Relaxed);
        guard.release()?;
    }
    Ok(())
}

/// What each task does: the same, and it keeps the lock while it waits for something else.
async fn count_async(task: RegionLock<'static>) -> Result<(), Error> {
    for _ in 0..100 {
        let guard = task.lock_async(&mut wait_async::Delay::new(Clock, INTERVAL, ATTEMPTS)).await?;
        let steps = STEPS.load(Relaxed);
        embedded_hal_async::delay::DelayNs::delay_us(&mut Clock, 10).await;
        STEPS.store(steps + 1, Relaxed);
        guard.release()?;
    }
    Ok(())
}

/// The smallest executor: polls the tasks in turn until all are done.
fn run(mut tasks: Vec<Task>) -> Result<(), Error> {
    while !tasks.is_empty() {
        let mut failed = None;
        tasks.retain_mut(|task| {
            match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    failed = failed.or(outcome.err());
                    false
                }
            }
        });
        failed.map_or(Ok(()), Err)?;
        thread::yield_now();
    }
    Ok(())
}
