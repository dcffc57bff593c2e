//! Checks the duration of waits, from zero to unbounded, for both wait strategies, with and without
//! an exit event.

use std::time::{Duration, Instant};

use shmlock::{Error, ExitEvent, Holder, ShmLock, WaitStrategy};
use shmlock_tests::{Actor, Fixture, actor, quietly, until};

/// A poll interval longer than any test.
const HOURS: Duration = Duration::from_secs(3600);
/// Far more than any scheduling delay, far less than the interval above.
const MUCH: Duration = Duration::from_secs(30);
/// A timeout that a clock can measure.
const SHORT: Duration = Duration::from_millis(150);

const STRATEGIES: [WaitStrategy; 2] = [WaitStrategy::Futex, WaitStrategy::SleepPolling];

/// Runs `test` with a handle for each way to sleep, on a lock that the actor may hold.
fn with_each_wait_strategy(interval: Duration, test: impl Fn(&ShmLock, &mut Actor)) {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name} desc=busy");
    for strategy in STRATEGIES {
        for event in [None, Some(ExitEvent::new())] {
            let builder = ShmLock::builder(&name).poll_interval(interval).wait_strategy(strategy);
            let mut lock = quietly(|| builder.open()).unwrap();
            lock.set_exit_event(event.as_ref());
            test(&lock, &mut holder);
        }
    }
}

#[test]
fn a_free_lock_is_acquired_whatever_the_timeout() {
    with_each_wait_strategy(HOURS, |lock, _| {
        for timeout in [Duration::ZERO, Duration::from_nanos(1), SHORT, Duration::MAX] {
            drop(lock.try_lock_for(timeout).unwrap());
            lock.try_acquire_for(timeout).unwrap();
            lock.release().unwrap();
        }
        let now = Instant::now();
        for deadline in [now.checked_sub(MUCH).unwrap_or(now), now, now + MUCH] {
            drop(lock.try_lock_until(deadline).unwrap());
            lock.try_acquire_until(deadline).unwrap();
            lock.release().unwrap();
        }
    });
}

#[test]
fn a_timeout_of_zero_is_one_try_and_names_the_holder() {
    with_each_wait_strategy(HOURS, |lock, holder| {
        holder.ask("lock l");
        let began = Instant::now();
        for error in [
            lock.try_lock_for(Duration::ZERO).map(drop).unwrap_err(),
            lock.try_acquire_for(Duration::ZERO).unwrap_err(),
            lock.try_lock_until(Instant::now()).map(drop).unwrap_err(),
            lock.try_acquire_until(began.checked_sub(SHORT).unwrap_or(began)).unwrap_err(),
        ] {
            assert!(matches!(error, Error::TimedOut { waited: Duration::ZERO, .. }), "{error}");
            assert!(error.is_timed_out());
            assert_eq!(error.holder().and_then(Holder::pid), Some(holder.pid()));
        }
        assert!(lock.try_lock().unwrap().is_none());
        assert!(!lock.try_acquire().unwrap());
        assert!(!lock.status().unwrap().waiters, "a single try set WAITERS");
        holder.ask("release l");
    });
}

#[test]
fn an_exit_event_ends_no_single_try() {
    with_each_wait_strategy(HOURS, |lock, holder| {
        let Some(event) = lock.exit_event() else { return };
        holder.ask("lock l");
        event.set().unwrap();
        assert!(lock.try_lock().unwrap().is_none(), "acquired a held lock");
        assert!(!lock.try_acquire().unwrap());
        for error in [
            lock.try_lock_for(Duration::ZERO).map(drop).unwrap_err(),
            lock.try_lock_until(Instant::now()).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::TimedOut { waited: Duration::ZERO, .. }), "{error}");
        }
        assert!(
            lock.try_lock_for(SHORT).map(drop).unwrap_err().is_cancelled(),
            "a wait is cancelled"
        );
        holder.ask("release l");
    });
}

#[test]
fn a_tiny_timeout_ends_at_once() {
    with_each_wait_strategy(HOURS, |lock, holder| {
        holder.ask("lock l");
        let began = Instant::now();
        for nanos in [1, 10, 1_000, 1_000_000] {
            let timeout = Duration::from_nanos(nanos);
            let error = lock.try_lock_for(timeout).map(drop).unwrap_err();
            let Error::TimedOut { waited, .. } = error else { panic!("{error}") };
            assert!(waited >= timeout);
        }
        assert!(began.elapsed() < MUCH);
        holder.ask("release l");
    });
}

#[test]
fn a_sleep_ends_at_the_deadline_however_long_the_poll_interval() {
    with_each_wait_strategy(HOURS, |lock, holder| {
        holder.ask("lock l");
        let began = Instant::now();
        let error = lock.try_lock_for(SHORT).map(drop).unwrap_err();
        let took = began.elapsed();
        assert!(took >= SHORT && took < MUCH, "{took:?}");
        let Error::TimedOut { waited, .. } = error else { panic!("{error}") };
        assert!(waited >= SHORT && waited <= took, "{waited:?}");

        let deadline = Instant::now() + SHORT;
        assert!(matches!(lock.try_acquire_until(deadline), Err(Error::TimedOut { .. })));
        assert!(Instant::now() >= deadline && Instant::now() < deadline + MUCH);
        holder.ask("release l");
    });
}

/// The best of many tries counts, because the machine may be busy.
#[test]
fn a_timeout_ends_within_half_of_itself_at_best() {
    const TIMEOUT: Duration = Duration::from_millis(10);
    with_each_wait_strategy(HOURS, |lock, holder| {
        holder.ask("lock l");
        let precise = (0..100).any(|_| {
            let began = Instant::now();
            assert!(matches!(lock.try_lock_for(TIMEOUT), Err(Error::TimedOut { .. })));
            began.elapsed() < TIMEOUT * 3 / 2
        });
        assert!(precise, "no try ended within half the timeout after the deadline");
        holder.ask("release l");
    });
}

#[test]
fn a_timeout_of_many_poll_intervals_lasts_in_full() {
    with_each_wait_strategy(Duration::from_millis(1), |lock, holder| {
        holder.ask("lock l");
        let began = Instant::now();
        assert!(matches!(lock.try_lock_for(SHORT), Err(Error::TimedOut { .. })));
        assert!(began.elapsed() >= SHORT);
        holder.ask("release l");
    });
}

#[test]
fn a_timeout_error_names_the_holder_and_its_description() {
    with_each_wait_strategy(HOURS, |lock, holder| {
        holder.ask("lock l");
        let error = lock.try_lock_for(Duration::from_millis(1)).map(drop).unwrap_err();
        let record = error.holder().expect("the holder has written its record");
        assert_eq!(record.pid(), Some(holder.pid()));
        assert_eq!(record.pid_is_ours(), Some(true));
        assert_eq!(record.description(), "busy");
        assert!(record.since().is_some_and(|since| since < MUCH));
        let text = error.to_string();
        assert!(text.contains(&format!("pid {}", holder.pid())) && text.contains("busy"), "{text}");
        holder.ask("release l");
    });
}

/// Durations that no clock can represent.
const HUGE: [Duration; 3] =
    [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(i64::MAX.unsigned_abs())];

/// Asserts that a waiter with this timeout, poll interval and event sleeps until the lock is
/// released.
fn waits_until_released(timeout: Duration, interval: Duration, event: Option<&ExitEvent>) {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    let mut waiter = quietly(|| ShmLock::builder(&name).poll_interval(interval).open()).unwrap();
    waiter.set_exit_event(event);
    let waiting = std::thread::spawn(move || waiter.try_acquire_for(timeout));
    until(|| waiting.is_finished() || holder.ask("check l").contains("waiters=true"));
    holder.ask("release l");
    let acquired = waiting.join();
    assert!(
        acquired.is_ok_and(|result| result.is_ok()),
        "the wait failed: {timeout:?} {interval:?} {event:?}"
    );
}

#[test]
fn a_timeout_too_large_to_count_waits_until_the_lock_is_free() {
    for timeout in HUGE {
        waits_until_released(timeout, HOURS, None);
        waits_until_released(timeout, HOURS, Some(&ExitEvent::new()));
    }
}

#[test]
fn a_poll_interval_too_large_to_count_waits_until_the_lock_is_free() {
    for interval in HUGE {
        waits_until_released(Duration::MAX, interval, None);
    }
}

#[test]
fn a_poll_interval_too_large_to_count_works_with_an_exit_event() {
    for interval in HUGE {
        waits_until_released(Duration::MAX, interval, Some(&ExitEvent::new()));
    }
}

#[test]
fn a_sleep_poller_with_huge_intervals_times_out_in_time() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    for interval in HUGE {
        let builder = ShmLock::builder(&name)
            .poll_interval(interval)
            .wait_strategy(WaitStrategy::SleepPolling);
        let lock = quietly(|| builder.open()).unwrap();
        assert!(matches!(lock.try_lock_for(Duration::from_millis(1)), Err(Error::TimedOut { .. })));
    }
}

#[test]
fn a_poll_interval_of_zero_is_refused() {
    let fixture = Fixture::new();
    let refused = ShmLock::builder(&fixture.name("l")).poll_interval(Duration::ZERO).open();
    assert!(matches!(refused, Err(Error::ZeroPollInterval)));
}
