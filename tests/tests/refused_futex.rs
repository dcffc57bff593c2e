//! Checks waiting where futex(2) is refused: the waiter polls at its interval, does not spin, and
//! misses nothing.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use shmlock::{Builder, ExitEvent, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Count, Denied, If, Solo, aside, deny, refuse_and_count};
use shmlock_tests::{actor, alone, until};

const HERE: &str = "a lock";
const CALLS: [libc::c_long; 2] = [libc::SYS_futex, libc::SYS_futex_waitv];
const INTERVAL: Duration = Duration::from_millis(20);
const WINDOW: Duration = Duration::from_millis(200);

#[test]
fn where_the_futex_is_refused_waits_still_end_in_time_and_recover() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = actor!();
    holder.ask(format!("open l {name}"));
    holder.ask("lock l");
    for strategy in [WaitStrategy::Futex, WaitStrategy::SleepPolling] {
        let lock = ShmLock::builder(&name).wait_strategy(strategy);
        aside(|| {
            let refused = |call| Denied { call, when: If::Called, errno: libc::EPERM };
            let lock = lock.open().expect(HERE);
            if !deny(&[refused(libc::SYS_futex), refused(libc::SYS_futex_waitv)]) {
                return;
            }
            let start = Instant::now();
            let error = lock.try_lock_for(Duration::from_millis(20)).expect_err("it is held");
            assert!(
                error.is_timed_out() && start.elapsed() >= Duration::from_millis(20),
                "{error}"
            );
        });
    }
    holder.kill();
    assert!(ShmLock::open(&name).expect(HERE).lock().expect(HERE).recovered().is_some());
    fixture.visit(&name);
    assert!(Path::new("/dev/shm").join(format!("{name}.shmlock")).exists());
    let lock = ShmLock::open(&name).expect(HERE);
    lock.lock().expect(HERE).declare_consistent().expect("held");
}

/// Waits until the timeout, with futexes refused. Returns the number of futex calls for each
/// millisecond.
fn wait_and_count(lock: &Builder) -> Option<f64> {
    aside(|| {
        let lock = lock.clone().poll_interval(INTERVAL).open().expect(HERE);
        let count = refuse_and_count(&CALLS)?;
        let start = Instant::now();
        assert!(lock.try_lock_for(WINDOW).expect_err("it is held").is_timed_out());
        Some(per_millisecond(&count, start))
    })
}

#[allow(clippy::cast_precision_loss, reason = "a small number")]
fn per_millisecond(count: &Count, start: Instant) -> f64 {
    count.get() as f64 / (start.elapsed().as_secs_f64() * 1000.0)
}

/// The bound for the waiter that probes: it sleeps for a millisecond at a time, with one or two
/// futex calls each time.
const PROBING: f64 = 2.5;
/// The bound for a waiter that sleeps for a whole interval.
const POLLING: f64 = 0.5;

#[test]
fn where_the_futex_is_refused_a_waiting_thread_does_not_spin() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = ShmLock::open(&name).expect(HERE);
        let guard = holder.lock().expect("free");
        let event = ExitEvent::new();
        let lock = |strategy| ShmLock::builder(&name).wait_strategy(strategy);
        for (lock, bound) in [
            (lock(WaitStrategy::Futex), PROBING),
            (lock(WaitStrategy::Futex).exit_event(&event), PROBING),
            (lock(WaitStrategy::SleepPolling).exit_event(&event), POLLING),
        ] {
            if let Some(asked) = wait_and_count(&lock) {
                assert!(asked < bound, "{asked} calls a millisecond");
            }
        }
        drop(guard);
    });
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release); // partner: the test's load
    }
}

#[test]
fn where_the_futex_is_refused_the_thread_for_tasks_does_not_spin_and_misses_nothing() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = ShmLock::open(&name).expect(HERE);
        let guard = holder.lock().expect("free");
        aside(move || {
            let far = ShmLock::builder(&name)
                .poll_interval(Duration::from_secs(3600))
                .open()
                .expect(HERE);
            let soon = ShmLock::builder(&name).poll_interval(INTERVAL).open().expect(HERE);
            let Some(count) = refuse_and_count(&CALLS) else { return };
            let start = Instant::now();
            let woken = [(); 2].map(|()| Arc::new(Woken::default()));
            let wakers = woken.clone().map(Waker::from);
            let (mut far, mut soon) = (pin!(far.lock_async()), pin!(soon.lock_async()));
            assert!(far.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
            // One call wakes the thread; two are its tries to sleep for the first task alone.
            until(|| count.get() >= 3);
            assert!(soon.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
            // A wait of an hour must not delay a wait of 20 ms.
            until(|| woken[1].0.load(Ordering::Acquire));
            // The rate is measured over a window of fixed length; this sleep synchronises nothing.
            thread::sleep(WINDOW.saturating_sub(start.elapsed()));
            let asked = per_millisecond(&count, start);
            assert!(asked < 1.0, "{asked} calls a millisecond");
            assert!(matches!(soon.poll(&mut Context::from_waker(&wakers[1])), Poll::Pending));
        });
        drop(guard);
    });
}
