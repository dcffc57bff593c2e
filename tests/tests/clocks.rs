//! Checks that setting the wall clock during a wait moves no deadline and ages no hold.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use shmlock::{Builder, ExitEvent, ShmLock, WaitStrategy};
use shmlock_tests::hostile::Solo;
use shmlock_tests::{Capability, actor, can};

const HERE: &str = "a lock of this process";
const HOUR: i64 = 60 * 60;
/// Hours. Only some months, because the clock cannot be set before 1970.
const STEPS: i64 = 3000;
const WAIT: Duration = Duration::from_millis(300);
/// Much less than one step of the clock, and enough for an emulated machine.
const SLACK: Duration = Duration::from_secs(20);

/// Sets the wall clock, and corrects it again when dropped.
struct WallClock {
    right: Timespec,
    since: Instant,
}

impl WallClock {
    fn new() -> Self {
        Self { right: clock_gettime(ClockId::Realtime), since: Instant::now() }
    }

    /// Sets the clock wrong by this many hours.
    fn step_to(&self, hours: i64) {
        let elapsed = self.since.elapsed();
        let tv_sec = self.right.tv_sec
            + i64::try_from(elapsed.as_secs()).expect("not so long")
            + hours * HOUR;
        clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: self.right.tv_nsec })
            .expect("root may");
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        self.step_to(0);
    }
}

#[test]
fn setting_the_wall_clock_moves_no_deadline_and_makes_no_hold_older() {
    if !can(Capability::SetTheClock) {
        return;
    }
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    let event = ExitEvent::new();
    let plain = || ShmLock::builder(&name);
    for builder in [
        plain(),
        plain().exit_event(&event),
        plain().wait_strategy(WaitStrategy::SleepPolling),
        plain().wait_strategy(WaitStrategy::SleepPolling).exit_event(&event),
        plain().poll_interval(10 * WAIT),
        plain().poll_interval(10 * WAIT).exit_event(&event),
    ] {
        for direction in [1, -1] {
            let (took, since) = wait_while_the_clock_is_set(&builder, direction);
            assert!(took >= WAIT && took < WAIT + SLACK, "{direction}: {took:?}");
            assert!(since < 20 * SLACK, "{direction}: {since:?}");
        }
    }
    holder.ask("release l");
}

/// Waits for a held lock while the clock is set hour by hour in one direction, away from any time
/// noted during the wait. Returns how long the wait took, and the greatest age of the hold that was
/// seen.
fn wait_while_the_clock_is_set(builder: &Builder, direction: i64) -> (Duration, Duration) {
    let lock = builder.open().expect(HERE);
    let clock = WallClock::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let lock = builder.open().expect(HERE);
            let start = Instant::now();
            let error = lock.try_acquire_for(WAIT).expect_err("it is held");
            done.store(true, Relaxed);
            assert!(error.is_timed_out(), "{error:?}");
            start.elapsed()
        });
        let mut oldest = Duration::ZERO;
        for step in (1..STEPS).chain(std::iter::repeat(STEPS)) {
            clock.step_to(step * direction);
            oldest =
                oldest.max(lock.holder().expect(HERE).expect("held").since().expect("its record"));
            if done.load(Relaxed) {
                break;
            }
            thread::yield_now();
        }
        (waiting.join().expect("no panic"), oldest)
    })
}
