//! Checks that threads and tasks accept every duration, however short or long.

use std::time::{Duration, Instant};

use shmlock::{Error, ExitEvent, ExitHandlers, SharedBlock, ShmLock, WaitStrategy};
use shmlock_tests::{Fixture, TestWaker, actor, poll, quietly};

const HERE: &str = "a lock of this process";

/// The limits of `Duration`, and values that clocks of 32 and 64 bits cannot count.
const LENGTHS: [Duration; 8] = [
    Duration::from_nanos(1),
    Duration::from_secs(u32::MAX as u64 + 1),
    Duration::from_millis(u64::MAX),
    Duration::from_secs(i64::MAX as u64 - 1),
    Duration::from_secs(i64::MAX as u64),
    Duration::from_secs(i64::MAX as u64 + 1),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

/// Yields the instants at these distances from the present that the clock can represent.
fn moments() -> impl Iterator<Item = Instant> {
    let now = Instant::now();
    LENGTHS
        .into_iter()
        .flat_map(move |length| [now.checked_add(length), now.checked_sub(length)])
        .flatten()
}

#[test]
fn a_task_waits_with_any_interval_and_timeout() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    for strategy in [WaitStrategy::Futex, WaitStrategy::SleepPolling] {
        for interval in LENGTHS {
            let builder = ShmLock::builder(&name).poll_interval(interval).wait_strategy(strategy);
            let lock = quietly(|| builder.open()).expect(HERE);
            for timeout in LENGTHS {
                holder.ask("lock l");
                let waker = TestWaker::new();
                let mut waiting = lock.lock_async_for(timeout);
                let polled = poll(&mut waiting, &waker);
                assert!(
                    polled.is_pending() || timeout < Duration::from_secs(1),
                    "{interval:?} {timeout:?}"
                );
                drop(waiting);
                let mut waiting = lock.lock_async();
                assert!(poll(&mut waiting, &waker).is_pending(), "{interval:?}");
                drop(waiting);
                holder.ask("release l");
            }
        }
    }
}

#[test]
fn a_thread_waits_with_any_interval_timeout_and_deadline() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    let stop = ExitEvent::new();
    stop.set().expect("an event of this process");
    for strategy in [WaitStrategy::Futex, WaitStrategy::SleepPolling] {
        for length in LENGTHS {
            let builder = ShmLock::builder(&name)
                .poll_interval(length)
                .fairness_interval(length)
                .open_timeout(length);
            let lock =
                quietly(|| builder.wait_strategy(strategy).exit_event(&stop).open()).expect(HERE);
            holder.ask("lock l");
            let ended =
                |error: Error| matches!(error, Error::Cancelled { .. } | Error::TimedOut { .. });
            assert!(
                LENGTHS.iter().all(|&timeout| lock.try_lock_for(timeout).is_err_and(ended)),
                "{length:?}"
            );
            assert!(moments().all(|moment| {
                let refused = lock.try_lock_until(moment);
                refused.is_err_and(|error| ended_or_refused(&error))
            }));
            holder.ask("release l");
            for timeout in LENGTHS {
                drop(
                    lock.try_lock_for(timeout)
                        .expect("a free lock is acquired even if the event is set"),
                );
            }
        }
    }
}

fn ended_or_refused(error: &Error) -> bool {
    matches!(error, Error::Cancelled { .. } | Error::TimedOut { .. })
}

#[test]
fn a_block_and_exit_handlers_accept_any_duration() {
    let fixture = Fixture::new();
    for length in LENGTHS {
        let open = || {
            ShmLock::builder(&fixture.name("b"))
                .open_timeout(length)
                .fairness_interval(length)
                .open_block::<u64>()
        };
        let mut block: SharedBlock<u64> = quietly(open).expect("a block");
        *block.lock().expect("free") += 1;
        ExitHandlers::at_exit().grace(length).install().expect("installed");
    }
}
