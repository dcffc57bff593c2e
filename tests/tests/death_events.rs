//! Checks that a sleeping waiter is woken by a death, whatever the kind of death. The poll interval
//! is an hour: a waiter that is not woken hangs.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use std::{fs, thread};

use shmlock::{Error, Guard, ShmLock};
use shmlock_tests::hostile::{Apart, Child, Folder, Intruder, Solo, fork, fork_apart, mount_again};
use shmlock_tests::{Capability, Fixture, actor, alone, can, proc, start, until};

const HERE: &str = "a lock of this process";
const HOUR: Duration = Duration::from_secs(3600);
const WAITERS: u32 = 1 << 31;

/// Returns the file of the fixture's only lock.
fn only_file(fixture: &Fixture) -> Intruder {
    Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]))
}

fn assert_recovered(guard: &Guard<'_>) {
    assert!(guard.recovered().is_some(), "its owner died");
    guard.declare_consistent().expect("held");
}

/// Makes a lock that is held. Returns its folder, its holder and its file.
fn held(fixture: &Solo) -> (Folder, ShmLock, Intruder) {
    let folder = Folder::new(fixture);
    let holder = folder.lock("l").open().expect(HERE);
    holder.acquire().expect("free");
    let file = Intruder::on(&folder.file("l"));
    (folder, holder, file)
}

#[test]
fn a_waiter_that_sleeps_for_an_hour_is_woken_by_the_death_of_the_owner() {
    let fixture = Solo::new();
    let pairs = ["kill", "_exit", "exec", "abort", "segv"].map(|how| {
        let name = fixture.name(how);
        let (mut owner, mut waiter) =
            (actor!("{name}"), actor!("{name} poll={}", HOUR.as_millis()));
        owner.ask("lock l");
        waiter.tell("lock l");
        (how, owner, waiter)
    });
    proc::wait_for_events_alone(&pairs.each_ref().map(|(_, _, waiter)| waiter.pid()));
    for (how, mut owner, mut waiter) in pairs {
        if how == "kill" {
            owner.kill();
        } else {
            owner.tell(format!("die {how}"));
            owner.wait();
        }
        waiter.done();
        assert_ne!(waiter.ask("recovered l"), "no", "{how}: its owner died");
        waiter.ask("consistent l");
    }
}

#[test]
fn a_task_that_waits_for_an_hour_is_woken_by_the_death_of_the_owner() {
    if !can(Capability::SleepOnTwoWords) {
        return; // a task is woken after its interval
    }
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = only_file(&fixture);
    let lock = ShmLock::builder(&name).poll_interval(HOUR).open().expect(HERE);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            assert_recovered(&pollster::block_on(lock.lock_async()).expect("its owner dies"));
        });
        until(|| file.watchers() == 1);
        owner.kill();
        waiting.join().expect("no panic");
    });
}

#[test]
fn a_waiter_of_each_of_many_locks_is_woken_by_the_death_of_their_owner() {
    const LOCKS: usize = 20;
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = |number| folder.lock(&format!("l{number}")).poll_interval(HOUR);
    let mut owner = actor!();
    for number in 0..LOCKS {
        owner.ask(format!("open {number} l{number} dir={}", folder.path().display()));
        owner.ask(format!("lock {number}"));
    }
    thread::scope(|scope| {
        for number in 0..LOCKS {
            scope.spawn(move || {
                let lock = open(number).open().expect(HERE);
                assert_recovered(&lock.lock().expect("its owner dies"));
            });
        }
        for number in 0..LOCKS {
            let file = Intruder::on(&folder.file(&format!("l{number}")));
            until(|| file.watchers() == 1);
        }
        owner.kill();
    });
}

/// Kills the owner while another process waits for its lock, and checks that the waiter has it.
fn is_noticed(owner: Child, folder: &Folder) {
    is_noticed_beside(owner, folder, || None);
}

/// The same; the process that `disturb` returns is killed at the end.
fn is_noticed_beside(owner: Child, folder: &Folder, disturb: impl FnOnce() -> Option<Child>) {
    let file = Intruder::on(&folder.file("l"));
    let waiter = fork(|_| {
        let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
        assert_recovered(&lock.lock().expect("its owner dies"));
    });
    until(|| file.watchers() == 1);
    let disturber = disturb();
    owner.kill();
    waiter.ends_well();
    if let Some(disturber) = disturber {
        disturber.kill();
    }
}

#[test]
fn the_death_of_an_owner_is_noticed_while_others_open_and_close_the_lock_all_the_time() {
    // Many times more events than a watcher looks after at once.
    const MANY: u64 = 1000;
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let _keeps_the_file = folder.lock("l").open().expect(HERE);
        is_noticed_beside(folder.owner(), &folder, || {
            let opener = fork(|line| {
                for event in 0.. {
                    drop(Intruder::on(&folder.file("l")));
                    if event == MANY {
                        line.ready();
                    }
                }
            });
            opener.line().wait();
            Some(opener)
        });
    });
}

/// Kills an owner for which two threads of one process wait. Returns `true` if the thread that did
/// not acquire the lock was woken as well.
fn wakes_both(folder: &Folder) -> bool {
    let this_thread = || i64::from(rustix::thread::gettid().as_raw_nonzero().get());
    let owner = folder.owner();
    let file = Intruder::on(&folder.file("l"));
    let waiters = fork(|line| {
        let is_second = AtomicBool::new(false);
        let wait = || {
            let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
            line.say(this_thread());
            let guard = lock.lock().expect("its owner dies or releases it");
            if !is_second.swap(true, Relaxed) {
                assert_recovered(&guard);
                line.say(this_thread());
                line.wait();
            }
        };
        thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(wait))));
    });
    let threads = [(); 2].map(|()| waiters.line().hear());
    let sleeps = |thread: i64| proc::voluntary_sleeps(u32::try_from(thread).expect("a thread id"));
    until(|| file.watchers() == 1);
    proc::comes_to_rest(waiters.pid().unsigned_abs());
    let before = threads.map(sleeps);
    owner.kill();
    let first = waiters.line().hear();
    assert!(threads.contains(&first));
    proc::comes_to_rest(waiters.pid().unsigned_abs());
    let slept = threads.map(sleeps);
    waiters.line().ready();
    waiters.ends_well();
    let other = usize::from(threads[0] == first);
    slept[other] != before[other]
}

/// The watch looks twice at a death: first it wakes a waiter, and then it reads whose event it is.
#[test]
fn a_death_wakes_one_of_two_waiters_of_a_process() {
    const DEATHS: usize = 10;
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let both = (0..DEATHS).filter(|_| wakes_both(&folder)).count();
        // A waiter that gets no processor for a millisecond is taken for one that died.
        assert!(both <= DEATHS / 2, "{both} of {DEATHS} deaths have woken both");
    });
}

#[test]
fn an_owner_in_another_pid_namespace_dies_by_an_event_as_well() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork_apart(Apart::Pids, |line| {
            let lock = folder.lock("l").open().expect(HERE);
            let _guard = lock.lock().expect("free");
            line.ready();
            line.wait();
        });
        let Some(owner) = owner else { return };
        owner.line().wait();
        is_noticed(owner, &folder);
    });
}

/// The word is free and nobody was woken: so an owner leaves it that dies between the release and
/// the wake. Its close is the event.
#[test]
fn a_waiter_whose_wake_was_lost_with_the_owner_is_woken_by_its_end() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = only_file(&fixture);
    let waiter = ShmLock::builder(&name).poll_interval(HOUR).open().expect(HERE);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let guard = waiter.lock().expect("it comes free");
            assert!(guard.recovered().is_none(), "a death was reported");
            drop(guard);
            waiter // closed after the owner, which then leaves no file
        });
        until(|| file.watchers() == 1 && file.owner_word() & WAITERS != 0);
        file.scribble(0, 0);
        owner.kill();
        waiting.join().expect("no panic");
    });
}

/// A waiter that was woken dies before it sets WAITERS again. The release then wakes nobody.
#[test]
fn a_sleeping_waiter_whose_flag_was_lost_with_another_waiter_sets_it_again() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let (mut owner, mut other) = (actor!("{name}"), actor!("{name}"));
    owner.ask("lock l");
    let file = only_file(&fixture);
    let mut waiter = actor!("{name} poll={}", HOUR.as_millis());
    waiter.tell("lock l");
    until(|| file.watchers() == 1 && file.owner_word() & WAITERS != 0);
    proc::comes_to_rest(waiter.pid());
    file.scribble(0, file.owner_word() & !WAITERS);
    other.kill();
    until(|| file.owner_word() & WAITERS != 0);
    owner.ask("release l");
    waiter.done();
}

#[test]
fn an_owner_that_reached_the_file_by_a_bind_mount_dies_by_an_event_as_well() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("our own directory");
        let owner = fork(|line| {
            let mounted = mount_again(folder.path(), &elsewhere);
            line.say(i64::from(mounted.is_some()));
            let lock = ShmLock::builder("l").directory(&elsewhere).open().expect(HERE);
            let _guard = lock.lock().expect("free");
            line.ready();
            line.wait();
        });
        if owner.line().hear() == 0 {
            return;
        }
        owner.line().wait();
        is_noticed(owner, &folder);
    });
}

#[allow(clippy::zombie_processes, reason = "the program outlives its parent")]
#[test]
fn the_end_of_the_last_copy_of_a_lifeline_is_an_event() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let lock = folder.lock("l").lifeline(true).open().expect(HERE);
            let _guard = lock.lock().expect("free");
            let copy = lock.lifeline().expect("asked for").try_clone_to_owned().expect("a copy");
            let mut program = Command::new("sleep");
            let program = start(program.arg("1000").stdin(copy)).expect("sleep(1)");
            line.say(program.id().into());
            line.wait();
        });
        let program = i32::try_from(owner.line().hear()).expect("a process id");
        let file = Intruder::on(&folder.file("l"));
        let waiter = fork(|line| {
            let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
            let guard = lock.lock().expect("its owner dies");
            assert_recovered(&guard);
            line.ready();
        });
        until(|| file.watchers() == 1);
        owner.kill();
        proc::comes_to_rest(waiter.pid().unsigned_abs());
        let lock = folder.lock("l").open().expect(HERE);
        assert!(lock.try_lock().expect(HERE).is_none(), "the program vouches for it");
        let program = rustix::process::Pid::from_raw(program).expect("a process");
        rustix::process::kill_process(program, rustix::process::Signal::KILL).expect("it runs");
        waiter.line().wait();
        waiter.ends_well();
    });
}

#[test]
fn every_waiter_is_woken_when_the_file_is_removed() {
    if !can(Capability::SleepOnTwoWords) {
        return; // a task is woken after its interval
    }
    alone!(|| {
        let fixture = Solo::new();
        let (folder, holder, file) = held(&fixture);
        let waiters = fork(|_| {
            let lock = || folder.lock("l").poll_interval(HOUR).open().expect(HERE);
            let is_orphaned = |error: &Error| matches!(error, Error::Orphaned { .. });
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| assert!(lock().lock().is_err_and(|error| is_orphaned(&error))));
                    scope.spawn(|| {
                        let lock = lock();
                        let waited = pollster::block_on(lock.lock_async());
                        assert!(waited.is_err_and(|error| is_orphaned(&error)));
                    });
                }
            });
        });
        until(|| file.watchers() == 1);
        proc::comes_to_rest(waiters.pid().unsigned_abs());
        fs::remove_file(folder.file("l")).expect("ours");
        waiters.ends_well();
        holder.release().expect("held");
    });
}

/// Wakes a thread. Once it is armed, it first keeps the thread that calls it, one time.
struct Slow {
    is_armed: AtomicBool,
    begins: Barrier,
    ends: Barrier,
}

struct SlowWaker(Arc<Slow>, thread::Thread);

impl Wake for SlowWaker {
    fn wake(self: Arc<Self>) {
        // Partner: the store of the test, before the file is removed.
        if self.0.is_armed.swap(false, Relaxed) {
            self.0.begins.wait();
            self.0.ends.wait();
        }
        self.1.unpark();
    }
}

fn block_on<F: Future>(task: F, slow: &Arc<Slow>) -> F::Output {
    let waker = Waker::from(Arc::new(SlowWaker(Arc::clone(slow), thread::current())));
    let mut task = pin!(task);
    loop {
        if let Poll::Ready(output) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// The thread that sleeps for tasks is kept until the watch has looked for the last time at once.
/// A machine that gives it no processor does the same.
#[test]
fn every_task_is_woken_when_the_file_is_removed_though_their_thread_was_kept() {
    if !can(Capability::SleepOnTwoWords) {
        return; // a task is woken after its interval
    }
    alone!(|| {
        let fixture = Solo::new();
        let (folder, holder, file) = held(&fixture);
        let waiters = fork(|line| {
            let slow = Arc::new(Slow {
                is_armed: AtomicBool::new(false),
                begins: Barrier::new(2),
                ends: Barrier::new(2),
            });
            let both_are_woken = Barrier::new(2);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
                        let waited = block_on(lock.lock_async(), &slow);
                        assert!(waited.is_err_and(|e| matches!(e, Error::Orphaned { .. })));
                        both_are_woken.wait(); // the close of a handle is an event
                    });
                }
                line.wait();
                slow.is_armed.store(true, Relaxed); // partner: `wake`
                line.ready();
                slow.begins.wait();
                line.ready();
                line.wait();
                slow.ends.wait();
            });
        });
        until(|| file.watchers() == 1);
        proc::comes_to_rest(waiters.pid().unsigned_abs());
        waiters.line().ready();
        waiters.line().wait();
        fs::remove_file(folder.file("l")).expect("ours");
        waiters.line().wait(); // the thread is kept
        proc::comes_to_rest(waiters.pid().unsigned_abs());
        waiters.line().ready();
        waiters.ends_well();
        holder.release().expect("held");
    });
}
