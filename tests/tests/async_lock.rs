//! Checks waiting in a task: no thread blocks, no waiter is forgotten, and an abandoned wait leaves
//! nothing behind.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use shmlock::{Error, Guard, SharedBlock, ShmLock};
use shmlock_tests::hostile::{Folder, Intruder, Solo};
use shmlock_tests::proc::threads_named;
use shmlock_tests::{
    Account, Capability, Fixture, TestWaker, actor, alone, can, poll, quietly, rounds,
};

const HERE: &str = "a lock of this process";

/// A poll interval longer than any test: a waiter that needs it to make progress hangs.
const NEVER: Duration = Duration::from_secs(3600);

/// One way of driving a future to its end.
type Executor = fn(Pin<&mut dyn Future<Output = ()>>);

/// Two unrelated executors: one parks its thread, the other has a reactor, timers and local tasks.
const EXECUTORS: [Executor; 2] = [
    |task| pollster::block_on(task),
    |task| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, task);
    },
];

fn with_each_executor(mut task: impl AsyncFnMut()) {
    for drive in EXECUTORS {
        drive(pin!(task()));
    }
}

/// Yields once, so that the other tasks of this thread run.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_free_lock_is_acquired_at_the_first_poll_without_a_thread() {
    alone!(|| {
        let fixture = Solo::new();
        let lock = ShmLock::open(&fixture.name("l")).expect(HERE);
        with_each_executor(async || {
            let guard = lock.lock_async().await.expect("free");
            assert!(guard.recovered().is_none() && lock.is_held());
            drop(guard);
            drop(lock.lock_async_for(Duration::ZERO).await.expect("one try is enough"));
        });
        assert_eq!(threads_named("shmlock-async"), 0);
        assert_eq!(lock.statistics().expect(HERE).contended, 0);
    });
}

#[test]
fn a_task_is_woken_by_the_release_of_another_process_whatever_its_poll_interval() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(NEVER).open()).expect(HERE);
    with_each_executor(async || {
        holder.ask("lock l");
        let mut waiting = pin!(lock.lock_async());
        let mut told = false;
        let guard = poll_fn(|context| {
            let polled = waiting.as_mut().poll(context);
            if !std::mem::replace(&mut told, true) {
                assert!(polled.is_pending() && lock.status().expect(HERE).waiters);
                holder.ask("release l");
            }
            polled
        });
        drop(guard.await.expect("it comes free"));
    });
    assert_eq!(lock.statistics().expect(HERE).contended, 2);
}

#[test]
fn a_waiting_task_does_not_keep_the_task_that_holds_the_lock_from_running() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mine = quietly(|| ShmLock::open(&name)).expect(HERE);
    let other = quietly(|| mine.try_clone()).expect(HERE);
    with_each_executor(async || {
        let (released, steps) = (Cell::new(false), Cell::new(0));
        let holds = async {
            let guard = mine.lock_async().await.expect("free");
            for _ in 0..1000 {
                yield_once().await;
                steps.set(steps.get() + 1);
            }
            released.set(true);
            drop(guard);
        };
        let waits = async {
            yield_once().await;
            let _guard =
                other.lock_async().await.expect("no deadlock: the other task of this thread runs");
            assert!(released.get() && steps.get() == 1000);
        };
        both(holds, waits).await;
    });
}

/// Runs two tasks in one.
async fn both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let mut done = [false; 2];
    poll_fn(|context| {
        done[0] = done[0] || one.as_mut().poll(context).is_ready();
        done[1] = done[1] || other.as_mut().poll(context).is_ready();
        if done == [true; 2] { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn a_task_recovers_from_an_owner_that_is_killed_before_or_during_the_wait() {
    let fixture = Fixture::new();
    for (round, drive) in EXECUTORS.into_iter().enumerate() {
        let name = fixture.name(&round.to_string());
        let mut doomed = actor!("{name} desc=doomed");
        let lock = quietly(|| ShmLock::open(&name)).expect(HERE);
        doomed.ask("lock l");
        drive(pin!(async {
            let mut waiting = pin!(lock.lock_async());
            let mut told = false;
            let guard = poll_fn(|context| {
                let polled = waiting.as_mut().poll(context);
                if !std::mem::replace(&mut told, true) {
                    assert!(polled.is_pending());
                    doomed.kill();
                }
                polled
            });
            let guard = guard.await.expect("a dead owner's");
            let dead = guard.recovered().expect("the owner died").dead.expect("its record");
            assert_eq!(dead.description(), "doomed");
            guard.declare_consistent().expect("held");
        }));
        assert_eq!(lock.statistics().expect(HERE).contended, 1, "counted once");

        let mut doomed = actor!("{name}");
        doomed.ask("lock l");
        doomed.kill();
        let waker = TestWaker::new();
        let Poll::Ready(guard) = poll(&mut lock.lock_async(), &waker) else {
            panic!("at the first poll")
        };
        guard.expect("a dead owner's").declare_consistent().expect("held");
    }
}

#[test]
fn a_timeout_ends_on_time_whatever_the_poll_interval_and_names_the_holder() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name} desc=busy");
    holder.ask("lock l");
    for interval in [NEVER, Duration::from_millis(1)] {
        let lock = quietly(|| ShmLock::builder(&name).poll_interval(interval).open()).expect(HERE);
        with_each_executor(async || {
            let start = Instant::now();
            let error =
                lock.lock_async_for(Duration::from_millis(30)).await.expect_err("it is held");
            assert!(
                matches!(error, Error::TimedOut { .. })
                    && start.elapsed() >= Duration::from_millis(30)
            );
            assert_eq!(error.holder().expect("named").description(), "busy");
            let error = lock.lock_async_for(Duration::ZERO).await.expect_err("it is held");
            assert!(matches!(error, Error::TimedOut { waited: Duration::ZERO, .. }), "{error}");
        });
    }
}

/// There are more tasks than one `futex_waitv(2)` can wait for, and contenders in other processes.
#[test]
fn many_tasks_and_other_processes_all_acquire_one_at_a_time() {
    const TASKS: u64 = 150;
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (account, each) = (Account::new(), rounds(20));
    let mut others = [actor!("{name}"), actor!("{name}")];
    for other in &mut others {
        other.tell(format_args!("count l {} {each} 3", account.path()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let tasks = tokio::task::LocalSet::new();
    let inside = Rc::new(Cell::new(0));
    account.meet(3);
    for task in 0..TASKS {
        let builder = ShmLock::builder(&name).poll_interval(Duration::from_millis(5));
        let (lock, account, inside) = (
            quietly(|| builder.open()).expect(HERE),
            Account::open(&account.path()),
            Rc::clone(&inside),
        );
        tasks.spawn_local(async move {
            for round in 0..each {
                let guard: Guard<'_> = lock.lock_async().await.expect("it comes free");
                assert_eq!(inside.replace(1), 0);
                yield_once().await; // the others run and must not acquire
                account.section(1_000_000 + task, round, false);
                inside.set(0);
                drop(guard);
            }
        });
    }
    runtime.block_on(tasks);
    for other in &mut others {
        other.done();
    }
    assert_eq!(account.balance(), (TASKS + 2) * each);
}

#[test]
fn a_task_can_lock_a_block() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut block = quietly(|| SharedBlock::<u64>::open(&name)).expect("a block of this process");
    with_each_executor(async || *block.lock_async().await.expect("free") += 1);
    assert_eq!(*block.lock().expect("free"), 2);
}

#[test]
fn a_hostile_word_makes_no_task_hang_or_panic() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    for word in [1, 0x8000_ffff, 0xffff_fffe, 0x4000_0000, 0x8000_0000, 0xc012_3456] {
        with_each_executor(async || {
            intruder.scribble(0, word);
            match lock.lock_async_for(Duration::from_millis(5)).await {
                Ok(guard) => guard.declare_consistent().expect("held"),
                Err(error) => assert!(error.is_timed_out(), "{word:#x}: {error}"),
            }
        });
    }
    intruder.scribble(0, 0);
}
