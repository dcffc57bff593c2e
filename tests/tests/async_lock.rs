//! Waiting in a task: no thread is blocked, nobody is forgotten, and nothing is left of a wait that is given up.

use std::cell::Cell;
use std::fs;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use shmlock::{Error, ExitEvent, Guard, SharedBlock, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Denied, Folder, If, Intruder, Solo, deny, fork};
use shmlock_tests::{Ability, Account, Scene, actor, alone, can, quietly, rounds, until};

const HERE: &str = "a lock of this process";

/// Longer than any test: who needs an interval to notice something does not get on.
const NEVER: Duration = Duration::from_secs(3600);

/// One way of driving a future to its end.
type Executor = fn(Pin<&mut dyn Future<Output = ()>>);

/// Two executors that have nothing in common: one parks its thread, the other has a reactor, timers and local tasks.
const EXECUTORS: [Executor; 2] = [
    |task| pollster::block_on(task),
    |task| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, task);
    },
];

fn with_each_executor(mut task: impl AsyncFnMut()) {
    for drive in EXECUTORS {
        drive(pin!(task()));
    }
}

/// Lets the other tasks of this thread run once.
async fn step_back() {
    let mut stepped = false;
    poll_fn(|context| {
        if std::mem::replace(&mut stepped, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A waker that counts, and unparks the thread that made it.
struct Bell {
    rung: AtomicU32,
    thread: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Relaxed); // partner: `is_rung`, ordered by the unparking
        self.thread.unpark();
    }
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self { rung: AtomicU32::new(0), thread: thread::current() })
    }

    fn is_rung(&self) -> bool {
        self.rung.load(Relaxed) > 0 // partner: `wake`
    }

    /// Sleeps until it is rung. The watchdog bounds it.
    fn wait(&self) {
        while !self.is_rung() {
            thread::park();
        }
    }
}

/// Polls once with this bell.
fn poll<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

/// How many threads of this process sleep for tasks.
fn helpers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "shmlock-async").count()
}

#[test]
fn a_free_lock_is_had_at_the_first_poll_and_without_a_thread() {
    alone!(|| {
        let scene = Solo::new();
        let lock = ShmLock::open(&scene.name("l")).expect(HERE);
        with_each_executor(async || {
            let guard = lock.lock_async().await.expect("free");
            assert!(guard.recovered().is_none() && lock.is_held());
            drop(guard);
            drop(lock.lock_async_for(Duration::ZERO).await.expect("one try is enough"));
        });
        assert_eq!(helpers(), 0);
        assert_eq!(lock.statistics().expect(HERE).contended, 0);
    });
}

#[test]
fn a_task_is_woken_by_the_release_of_another_process_whatever_its_poll_interval() {
    if !can(Ability::SleepOnTwoWords) {
        return;
    }
    let scene = Scene::new();
    let name = scene.name("l");
    let mut holder = actor!("{name}");
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(NEVER).open()).expect(HERE);
    with_each_executor(async || {
        holder.ask("lock l");
        let mut waiting = pin!(lock.lock_async());
        let mut told = false;
        let guard = poll_fn(|context| {
            let polled = waiting.as_mut().poll(context);
            if !std::mem::replace(&mut told, true) {
                assert!(polled.is_pending() && lock.check().expect(HERE).waiters);
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
    let scene = Scene::new();
    let name = scene.name("l");
    let mine = quietly(|| ShmLock::open(&name)).expect(HERE);
    let other = mine.try_clone().expect(HERE);
    with_each_executor(async || {
        let (released, steps) = (Cell::new(false), Cell::new(0));
        let holds = async {
            let guard = mine.lock_async().await.expect("free");
            for _ in 0..1000 {
                step_back().await;
                steps.set(steps.get() + 1);
            }
            released.set(true);
            drop(guard);
        };
        let waits = async {
            step_back().await;
            let _guard = other.lock_async().await.expect("no deadlock: the other task of this thread goes on");
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
fn a_task_takes_over_from_an_owner_that_is_killed_while_it_waits_or_was_before() {
    let scene = Scene::new();
    for (round, drive) in EXECUTORS.into_iter().enumerate() {
        let name = scene.name(&round.to_string());
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
                    doomed.murder();
                }
                polled
            });
            let guard = guard.await.expect("a dead owner's");
            let dead = guard.recovered().expect("told").dead.expect("by whom");
            assert_eq!(dead.description(), "doomed");
            guard.declare_consistent().expect("held");
        }));
        assert_eq!(lock.statistics().expect(HERE).contended, 1, "counted once");

        let mut doomed = actor!("{name}");
        doomed.ask("lock l");
        doomed.murder();
        let bell = Bell::new();
        let Poll::Ready(guard) = poll(&mut lock.lock_async(), &bell) else { panic!("at the first poll") };
        guard.expect("a dead owner's").declare_consistent().expect("held");
    }
}

#[test]
fn a_timeout_is_kept_whatever_the_poll_interval_and_names_the_holder() {
    let scene = Scene::new();
    let name = scene.name("l");
    let mut holder = actor!("{name} desc=busy");
    holder.ask("lock l");
    for interval in [NEVER, Duration::from_millis(1)] {
        let lock = quietly(|| ShmLock::builder(&name).poll_interval(interval).open()).expect(HERE);
        with_each_executor(async || {
            let start = Instant::now();
            let error = lock.lock_async_for(Duration::from_millis(30)).await.expect_err("it is held");
            assert!(matches!(error, Error::TimedOut { .. }) && start.elapsed() >= Duration::from_millis(30));
            assert_eq!(error.holder().expect("named").description(), "busy");
            let error = lock.lock_async_for(Duration::ZERO).await.expect_err("it is held");
            assert!(matches!(error, Error::WouldBlock { .. }), "{error}");
        });
    }
}

#[test]
fn an_exit_event_ends_a_wait_at_once() {
    if !can(Ability::SleepOnTwoWords) {
        return;
    }
    let scene = Scene::new();
    let name = scene.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    let local = ExitEvent::new();
    let named = quietly(|| ExitEvent::named(&name)).expect("an event");
    for event in [&local, &named] {
        let lock = quietly(|| ShmLock::builder(&name).poll_interval(NEVER).exit_event(event).open()).expect(HERE);
        let bell = Bell::new();
        let mut waiting = lock.lock_async();
        assert!(poll(&mut waiting, &bell).is_pending());
        event.set().expect("ours");
        bell.wait();
        assert!(matches!(poll(&mut waiting, &bell), Poll::Ready(Err(Error::Cancelled { .. }))));
        let again = poll(&mut lock.lock_async(), &bell);
        assert!(matches!(again, Poll::Ready(Err(Error::Cancelled { .. }))), "it is still set");
        event.clear().expect("ours");
    }
}

#[test]
fn a_task_notices_that_the_file_was_removed() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    let holder = folder.lock("l").open().expect(HERE);
    let lock = folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
    let _guard = holder.lock().expect("free");
    let bell = Bell::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &bell).is_pending());
    fs::remove_file(folder.file("l")).expect("ours");
    bell.wait();
    assert!(matches!(poll(&mut waiting, &bell), Poll::Ready(Err(Error::Orphaned { .. }))));
}

#[test]
fn a_handle_that_holds_the_lock_is_not_shared_with_another_task() {
    let scene = Scene::new();
    let lock = quietly(|| ShmLock::open(&scene.name("l"))).expect(HERE);
    let bell = Bell::new();
    let guard = lock.lock().expect("free");
    let answer = poll(&mut lock.lock_async(), &bell);
    let Poll::Ready(Err(error @ Error::AlreadyHeld { .. })) = answer else { panic!("{answer:?}") };
    assert!(error.to_string().contains("give each task a handle of its own"));
    assert!(lock.is_held());
    drop(guard);
    assert!(!lock.is_held(), "the refusal took nothing");
    assert!(matches!(poll(&mut lock.lock_async(), &bell), Poll::Ready(Ok(_))));
}

/// The release wakes whoever slept first: the thread that sleeps for the task. If the task is dropped before it is polled,
/// the wake is due to the next.
#[test]
fn a_future_dropped_after_its_wake_passes_the_wake_on() {
    if !can(Ability::SleepOnTwoWords) {
        return;
    }
    let scene = Scene::new();
    let name = scene.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} poll=3600000"));
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(NEVER).open()).expect(HERE);
    for _ in 0..rounds(20) {
        holder.ask("lock l");
        let bell = Bell::new();
        let mut waiting = lock.lock_async();
        assert!(poll(&mut waiting, &bell).is_pending());
        waiter.tell("lock l");
        shmlock_tests::proc::falls_asleep_on_a_word(waiter.pid());
        holder.ask("release l");
        // Either the thread took the wake, and we pass it on; or the waiter had it, and has the lock.
        drop(waiting);
        waiter.done();
        waiter.ask("release l");
    }
}

/// The thread goes on sleeping on the word of a future that has been dropped, for it has others to sleep for, and is first
/// in the kernel's queue.
#[test]
fn a_wake_for_a_future_that_was_dropped_is_passed_on_by_the_thread() {
    if !can(Ability::SleepOnTwoWords) {
        return;
    }
    alone!(|| {
        let scene = Solo::new();
        let (name, elsewhere) = (scene.name("l"), scene.name("elsewhere"));
        let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} poll=3600000"));
        let open = |name: &str| quietly(|| ShmLock::builder(name).poll_interval(NEVER).open()).expect(HERE);
        let (lock, there, there_too) = (open(&name), open(&elsewhere), open(&elsewhere));
        let _guard = there.lock().expect("free");
        let bell = Bell::new();
        let mut keeps_it_busy = there_too.lock_async();
        assert!(poll(&mut keeps_it_busy, &bell).is_pending());
        for _ in 0..rounds(20) {
            holder.ask("lock l");
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &bell).is_pending());
            until(|| shmlock_tests::proc::sleeps_on_words("shmlock-async"));
            drop(waiting);
            waiter.tell("lock l");
            shmlock_tests::proc::falls_asleep_on_a_word(waiter.pid());
            holder.ask("release l");
            waiter.done();
            waiter.ask("release l");
        }
    });
}

#[test]
fn a_future_dropped_while_the_lock_is_held_leaves_the_mark_for_others() {
    let scene = Scene::new();
    let name = scene.name("l");
    let mut holder = actor!("{name}");
    let lock = quietly(|| ShmLock::open(&name)).expect(HERE);
    holder.ask("lock l");
    let bell = Bell::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &bell).is_pending());
    holder.ask("release l");
    holder.ask("lock l"); // the mark has gone with the release
    drop(waiting);
    assert!(lock.check().expect(HERE).waiters, "the wake that it used up may have been another's");
}

#[test]
fn a_task_that_gets_the_lock_after_waiting_keeps_the_mark_for_others() {
    if !can(Ability::SleepOnTwoWords) {
        return;
    }
    let scene = Scene::new();
    let name = scene.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} poll=3600000"));
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(NEVER).open()).expect(HERE);
    holder.ask("lock l");
    let bell = Bell::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &bell).is_pending());
    waiter.tell("lock l");
    shmlock_tests::proc::falls_asleep_on_a_word(waiter.pid());
    holder.ask("release l");
    if let Poll::Ready(guard) = poll(&mut waiting, &bell) {
        assert!(lock.check().expect(HERE).waiters, "one wake was not enough for two");
        drop(guard);
    }
    drop(waiting);
    waiter.done();
}

#[test]
fn when_nobody_waits_any_more_the_thread_ends_and_it_comes_back_when_it_is_needed() {
    alone!(|| {
        let scene = Solo::new();
        let name = scene.name("l");
        let holder = ShmLock::open(&name).expect(HERE);
        let lock = ShmLock::builder(&name).poll_interval(NEVER).open().expect(HERE);
        for _ in 0..3 {
            let guard = holder.lock().expect("free");
            let bell = Bell::new();
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &bell).is_pending());
            until(|| helpers() == 1); // it gives itself its name
            drop(waiting);
            drop(guard);
            until(|| helpers() == 0);
        }
    });
}

#[test]
fn a_future_that_is_forgotten_costs_nothing_but_its_mark_even_if_its_handle_is_closed() {
    alone!(|| {
        let scene = Solo::new();
        let name = scene.name("l");
        let interval = Duration::from_millis(1);
        let holder = ShmLock::open(&name).expect(HERE);
        let guard = holder.lock().expect("free");
        for _ in 0..rounds(50) {
            let lock = ShmLock::builder(&name).poll_interval(NEVER).open().expect(HERE);
            let bell = Bell::new();
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &bell).is_pending());
            std::mem::forget(waiting);
            drop(lock); // unmaps the word that is slept on
            let other = ShmLock::builder(&name).poll_interval(interval).open().expect(HERE);
            let mut waiting = other.lock_async();
            assert!(poll(&mut waiting, &bell).is_pending());
            bell.wait(); // the thread has looked at its list since
        }
        drop(guard);
        until(|| helpers() == 0);
    });
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_asleep() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker of bad manners"));
        }
    }
    let scene = Scene::new();
    let name = scene.name("l");
    let open = || quietly(|| ShmLock::builder(&name).poll_interval(Duration::from_millis(1)).open()).expect(HERE);
    let (holder, one, other) = (open(), open(), open());
    let _guard = holder.lock().expect("free");
    for _ in 0..10 {
        let mut bad = one.lock_async();
        assert!(Pin::new(&mut bad).poll(&mut Context::from_waker(&Waker::from(Arc::new(Bomb)))).is_pending());
        let bell = Bell::new();
        let mut good = other.lock_async();
        assert!(poll(&mut good, &bell).is_pending());
        bell.wait();
    }
}

/// More than the kernel can sleep on in one call; and contenders from elsewhere.
#[test]
fn many_tasks_and_other_processes_all_get_their_turn_one_at_a_time() {
    const TASKS: u64 = 150;
    let scene = Scene::new();
    let name = scene.name("l");
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
        let (lock, account, inside) =
            (quietly(|| builder.open()).expect(HERE), Account::open(&account.path()), Rc::clone(&inside));
        tasks.spawn_local(async move {
            for round in 0..each {
                let guard: Guard<'_> = lock.lock_async().await.expect("it comes free");
                assert_eq!(inside.replace(1), 0);
                step_back().await; // the others run, and must not get in
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
fn without_a_sleep_on_several_words_a_task_looks_again_after_each_interval() {
    alone!(|| {
        let scene = Solo::new();
        let name = scene.name("l");
        let holder = ShmLock::open(&name).expect(HERE);
        if !deny(&[Denied { call: libc::SYS_futex_waitv, when: If::Called, errno: libc::ENOSYS }]) {
            return;
        }
        let lock = ShmLock::builder(&name).poll_interval(Duration::from_millis(1)).open().expect(HERE);
        let guard = holder.lock().expect("free");
        let bell = Bell::new();
        let mut waiting = lock.lock_async();
        assert!(poll(&mut waiting, &bell).is_pending());
        drop(guard);
        bell.wait();
        assert!(matches!(poll(&mut waiting, &bell), Poll::Ready(Ok(_))));
    });
}

#[test]
fn a_task_that_polls_by_the_clock_marks_nothing() {
    let scene = Scene::new();
    let name = scene.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    let lock = quietly(|| {
        ShmLock::builder(&name).wait_strategy(WaitStrategy::SleepPolling).poll_interval(Duration::from_millis(1)).open()
    })
    .expect(HERE);
    let bell = Bell::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &bell).is_pending());
    assert!(!lock.check().expect(HERE).waiters);
    holder.ask("release l");
    bell.wait();
    assert!(matches!(poll(&mut waiting, &bell), Poll::Ready(Ok(_))));
}

#[test]
fn a_forked_child_leaves_its_parents_waits_alone_and_has_a_thread_of_its_own() {
    if !can(Ability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let scene = Solo::new();
        let folder = Folder::new(&scene);
        let open = || folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
        let (holder, lock) = (open(), open());
        let guard = holder.lock().expect("free");
        let bell = Bell::new();
        let mut waiting = Some(lock.lock_async());
        assert!(poll(waiting.as_mut().expect("ours"), &bell).is_pending());
        let child = fork(|line| {
            let mut copy = waiting.take().expect("the child's copy");
            let bell = Bell::new();
            assert!(matches!(poll(&mut copy, &bell), Poll::Ready(Err(Error::ForkedHandle { .. }))));
            drop(copy);
            let own = open();
            let mut waiting = own.lock_async();
            assert!(poll(&mut waiting, &bell).is_pending(), "the parent holds it");
            line.ready();
            bell.wait(); // an interval is over: its own thread says so
            loop {
                match poll(&mut waiting, &Bell::new()) {
                    Poll::Ready(guard) => break drop(guard.expect("it comes free")),
                    Poll::Pending => thread::yield_now(),
                }
            }
        });
        child.line().wait();
        drop(guard);
        child.ends_well();
        let mut waiting = waiting.expect("ours");
        bell.wait();
        assert!(matches!(poll(&mut waiting, &bell), Poll::Ready(Ok(_))), "undisturbed");
    });
}

#[test]
fn a_block_is_locked_in_a_task_as_well() {
    let scene = Scene::new();
    let name = scene.name("b");
    let mut block = quietly(|| SharedBlock::<u64>::open(&name)).expect("a block of this process");
    with_each_executor(async || *block.lock_async().await.expect("free") += 1);
    assert_eq!(*block.lock().expect("free"), 2);
}

#[test]
fn a_hostile_word_makes_no_task_hang_or_panic() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
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
