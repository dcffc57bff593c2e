//! Tests waiting by an awaited timer, with an executor made by hand: it polls the tasks in turn,
//! and time passes only when the test says so.

mod common;

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;
use core::task::{Context, Poll, Waker};

use common::{DIED, ProofBy, RawMemory, WAITERS, WaitBy, number, take};
use embedded_hal_async::delay::DelayNs;
use shmlock_core::contend::AssumeAlive;
use shmlock_core::wait::{Spin, WaitAction, WaitContext};
use shmlock_core::wait_async::Delay;
use shmlock_core::{Error, RegionLock, Token, Word};

fn lock(memory: &RawMemory, token: u16) -> RegionLock<'_> {
    RegionLock::new(memory.region(), number(token))
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns the output of a future that must be ready at its first poll.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match poll(pin!(future)) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

/// A timer that ends at the next poll, and records the intervals asked for.
#[derive(Default)]
struct NextPoll(RefCell<Vec<u32>>);

impl DelayNs for &NextPoll {
    async fn delay_ns(&mut self, nanoseconds: u32) {
        self.0.borrow_mut().push(nanoseconds);
        pass().await;
    }
}

/// Lets the other tasks run once.
async fn pass() {
    let mut passed = false;
    poll_fn(
        |_| if core::mem::replace(&mut passed, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// A timer that must not be used.
struct Never;

impl DelayNs for Never {
    async fn delay_ns(&mut self, _: u32) {
        panic!("there is nothing to wait for");
    }
}

#[test]
fn a_free_lock_is_acquired_at_the_first_poll_without_the_timer() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    let guard = at_once(lock.lock_async(&mut Delay::new(Never, 1, 9))).expect("free");
    assert_eq!(memory.get(0), 1);
    drop(guard);
    assert_eq!(memory.get(0), 0);
}

#[test]
fn a_task_does_not_share_a_hold_that_another_task_took_by_the_same_handle() {
    let memory = RawMemory::zeroed();
    let (shared, other) = (lock(&memory, 1), lock(&memory, 2));
    let guard = at_once(shared.lock_async(&mut Delay::new(Never, 1, 9))).expect("free");
    let before = memory.bytes();
    let second = at_once(shared.lock_async(&mut Delay::new(Never, 1, 9)));
    assert_eq!(second.err(), Some(Error::AlreadyHeld));
    assert_eq!(memory.bytes(), before);
    drop(guard);

    // The second task begins to wait while the handle holds nothing; then the first one acquires.
    let owner = take(&other);
    let timer = NextPoll::default();
    let mut delay = Delay::new(&timer, 250, 9);
    let mut waiting = pin!(shared.lock_async(&mut delay));
    assert!(poll(waiting.as_mut()).is_pending());
    drop(owner);
    let guard = at_once(shared.lock_async(&mut Delay::new(Never, 1, 9))).expect("free");
    let Poll::Ready(second) = poll(waiting) else { panic!("it is refused") };
    assert_eq!(second.err(), Some(Error::AlreadyHeld));
    assert_eq!(guard.release(), Ok(()));
    assert_eq!((memory.get(0), shared.is_held()), (0, false));
}

#[test]
fn a_task_that_is_polled_from_inside_a_wait_of_its_handle_is_refused() {
    let memory = RawMemory::zeroed();
    let (shared, other) = (lock(&memory, 1), lock(&memory, 2));
    let owner = RefCell::new(Some(take(&other)));
    let guard = shared.lock(&mut WaitBy(|_: &mut WaitContext<'_>| {
        drop(owner.borrow_mut().take());
        let task = at_once(shared.lock_async(&mut Delay::new(Never, 1, 9)));
        assert_eq!(task.err(), Some(Error::InUse));
        WaitAction::Retry
    }));
    assert_eq!(guard.expect("free").release(), Ok(()));
    assert_eq!(memory.get(0), 0);
}

#[test]
fn a_timer_that_panics_while_it_is_awaited_leaves_a_handle_at_rest() {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    let guard = take(&holder);
    let before = memory.bytes();
    let polled = || drop(at_once(contender.lock_async(&mut Delay::new(Never, 1, 9))));
    std::panic::catch_unwind(core::panic::AssertUnwindSafe(polled)).expect_err("the timer panics");
    assert_eq!(memory.bytes(), before);
    drop(guard);
    at_once(contender.lock_async(&mut Delay::new(Never, 1, 9)))
        .expect("free")
        .release()
        .expect("held");
}

/// Keeps a pointer, for leak detectors, to a value that is leaked on purpose.
static FORGOTTEN: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

#[test]
fn a_future_that_is_forgotten_leaves_a_handle_at_rest() {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    let guard = take(&holder);
    let timer = NextPoll::default();
    let mut delay = Delay::new(&timer, 250, 9);
    let mut waiting = Box::pin(contender.lock_async(&mut delay));
    assert!(poll(waiting.as_mut()).is_pending());
    FORGOTTEN.store((&raw const *waiting).cast_mut().cast(), Relaxed);
    core::mem::forget(waiting);
    drop(guard);
    take(&contender).release().expect("held");
    assert_eq!(memory.get(0), 0);
}

#[test]
fn a_task_waits_its_interval_after_each_attempt_and_gives_up_after_the_last() {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    let _guard = take(&holder);
    for attempts in [0, 1, 3] {
        let timer = NextPoll::default();
        let mut delay = Delay::new(&timer, 250, attempts);
        let mut waiting = pin!(contender.lock_async(&mut delay));
        for _ in 0..attempts {
            assert!(poll(waiting.as_mut()).is_pending());
        }
        let Poll::Ready(answer) = poll(waiting) else { panic!("no attempts are left") };
        assert_eq!(answer.err(), Some(Error::Busy { seen: Word::from_bits(1) }));
        assert_eq!(timer.0.borrow().as_slice(), vec![250_000; attempts as usize]);
    }
}

#[test]
fn a_task_acquires_at_the_end_of_the_interval_in_which_the_lock_was_released() {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    let guard = take(&holder);
    let timer = NextPoll::default();
    let mut delay = Delay::new(&timer, 250, 9);
    let mut waiting = pin!(contender.lock_async(&mut delay));
    assert!(poll(waiting.as_mut()).is_pending());
    drop(guard);
    let Poll::Ready(Ok(guard)) = poll(waiting) else { panic!("it was released") };
    assert_eq!(memory.get(0), 2);
    assert!(!guard.owner_died());
}

#[test]
fn a_future_that_is_dropped_leaves_no_trace_however_far_it_was() {
    for polls in 0..4 {
        let memory = RawMemory::zeroed();
        let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
        let guard = take(&holder);
        let before = memory.bytes();
        {
            let timer = NextPoll::default();
            let mut delay = Delay::new(&timer, 250, 9);
            let mut waiting = pin!(contender.lock_async(&mut delay));
            for _ in 0..polls {
                assert!(poll(waiting.as_mut()).is_pending());
            }
        }
        assert_eq!(memory.bytes(), before, "after {polls} polls");
        assert!(!contender.is_held() && !contender.owes_wake());
        drop(guard);
        assert!(!holder.owes_wake());
        assert_eq!(memory.get(0), 0);
    }
}

#[test]
fn a_future_that_is_dropped_after_the_release_keeps_the_lock_free() {
    let memory = RawMemory::zeroed();
    let (holder, contender, third) = (lock(&memory, 1), lock(&memory, 2), lock(&memory, 3));
    let guard = take(&holder);
    {
        let timer = NextPoll::default();
        let mut delay = Delay::new(&timer, 250, 9);
        let mut waiting = pin!(contender.lock_async(&mut delay));
        assert!(poll(waiting.as_mut()).is_pending());
        drop(guard);
    }
    drop(take(&third));
}

#[test]
fn a_task_takes_over_as_soon_as_there_is_a_proof_of_death() {
    let memory = RawMemory::zeroed();
    core::mem::forget(take(&lock(&memory, 1)));
    let successor = lock(&memory, 2);
    let (dead, probes) = (Cell::new(false), Cell::new(0));
    let mut proof = ProofBy(|owner: Token| {
        assert_eq!(owner.get(), 1);
        probes.set(probes.get() + 1);
        dead.get()
    });
    let timer = NextPoll::default();
    let mut delay = Delay::new(&timer, 250, 9);
    let mut waiting = pin!(successor.lock_or_recover_async(&mut delay, &mut proof));
    assert!(poll(waiting.as_mut()).is_pending());
    assert!(poll(waiting.as_mut()).is_pending());
    dead.set(true);
    let Poll::Ready(Ok(guard)) = poll(waiting) else { panic!("there is a proof") };
    assert!(guard.owner_died());
    assert_eq!((probes.get(), memory.get(0)), (3, 2 | DIED | WAITERS));
}

#[test]
fn without_a_proof_no_owner_is_taken_for_dead() {
    let memory = RawMemory::zeroed();
    core::mem::forget(take(&lock(&memory, 1)));
    let (contender, timer, mut no_proof) = (lock(&memory, 2), NextPoll::default(), AssumeAlive);
    let mut delay = Delay::new(&timer, 250, 3);
    let mut waiting = pin!(contender.lock_or_recover_async(&mut delay, &mut no_proof));
    for _ in 0..3 {
        assert!(poll(waiting.as_mut()).is_pending());
    }
    assert!(matches!(poll(waiting), Poll::Ready(Err(Error::Busy { .. }))));
}

/// A task of some critical sections, with a pause for other tasks in the middle of each.
async fn count(memory: &RawMemory, token: u16, counter: &Cell<u32>, locked: bool) {
    let (lock, timer) = (lock(memory, token), NextPoll::default());
    for _ in 0..100 {
        let guard = if locked {
            Some(lock.lock_async(&mut Delay::new(&timer, 1, u32::MAX)).await.expect("patient"))
        } else {
            None
        };
        let before = counter.get();
        pass().await;
        counter.set(before + 1);
        drop(guard);
        if token % 2 == 0 {
            pass().await; // some tasks lock again at once, others yield first
        }
    }
}

/// Polls the tasks in turn until all are done.
fn run(tasks: &mut [Pin<Box<dyn Future<Output = ()> + '_>>]) {
    let mut running: Vec<_> = tasks.iter_mut().collect();
    for _ in 0..100_000 {
        running.retain_mut(|task| {
            task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
        });
        if running.is_empty() {
            return;
        }
    }
    panic!("{} tasks never end", running.len());
}

#[test]
fn tasks_of_one_executor_exclude_each_other_across_awaits_and_would_not_without_the_lock() {
    for locked in [true, false] {
        let (memory, counter) = (RawMemory::zeroed(), Cell::new(0));
        let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        for token in 1..=4 {
            tasks.push(Box::pin(count(&memory, token, &counter, locked)));
        }
        run(&mut tasks);
        assert_eq!(counter.get() == 400, locked, "{} of 400 counted", counter.get());
        assert!(lock(&memory, 9).acquire(&mut Spin::attempts(0)).is_ok());
    }
}
