//! Checks which processes watch a lock, and what happens if they are killed, stopped, or leave. The
//! poll interval is an hour unless the tick is to be seen.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use shmlock::ShmLock;
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{Actor, Fixture, actor, alone, proc, until};

const HOUR: u64 = 3_600_000;
const WAITERS: u32 = 1 << 31;

/// An owner, and processes that watch its lock in the order of their start.
struct Scene {
    owner: Actor,
    watchers: Vec<Actor>,
    file: Intruder,
}

impl Scene {
    /// Starts the owner and two waiters, both of which watch.
    fn new(fixture: &Fixture, name: &str, poll: u64) -> Self {
        let mut owner = actor!("{name} poll={poll}");
        owner.ask("lock l");
        let file = Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]));
        let mut scene = Self { owner, watchers: Vec::new(), file };
        for count in [1, 2] {
            let waiter = scene.waiter(name, poll);
            scene.watchers.push(waiter);
            until(|| scene.file.watchers() == count);
        }
        scene
    }

    /// Starts a process that waits, and lets it come to rest.
    fn waiter(&self, name: &str, poll: u64) -> Actor {
        let mut waiter = actor!("{name} poll={poll}");
        waiter.tell("lock l");
        until(|| self.file.owner_word() & WAITERS != 0 && proc::sleeps_on_a_word(waiter.pid()));
        proc::comes_to_rest(waiter.pid());
        waiter
    }
}

/// Checks that the actor has the lock of a dead owner.
fn has_recovered(waiter: &mut Actor) {
    waiter.done();
    assert_ne!(waiter.ask("recovered l"), "no");
    waiter.ask("consistent l");
}

#[test]
fn if_one_watcher_is_killed_with_the_owner_the_other_one_notices() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for doomed in [0, 1] {
        let mut scene = Scene::new(&fixture, &name, HOUR);
        let mut victim = scene.watchers.remove(doomed);
        victim.signal(libc::SIGKILL);
        scene.owner.kill();
        victim.ends_by(libc::SIGKILL);
        has_recovered(&mut scene.watchers[0]);
        scene.watchers[0].ask("release l");
    }
}

#[test]
fn if_one_watcher_is_stopped_the_other_one_notices() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut scene = Scene::new(&fixture, &name, HOUR);
    let mut stopped = scene.watchers.remove(0);
    stopped.signal(libc::SIGSTOP);
    until(|| !proc::sleeps(stopped.pid()));
    scene.owner.kill();
    has_recovered(&mut scene.watchers[0]);
    scene.watchers[0].ask("release l");
    stopped.signal(libc::SIGCONT);
    stopped.done();
}

#[test]
fn if_both_watchers_are_stopped_or_killed_a_third_process_notices_within_a_second() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for signal in [libc::SIGSTOP, libc::SIGKILL] {
        let mut scene = Scene::new(&fixture, &name, 50);
        let mut third = scene.waiter(&name, 50);
        for watcher in &scene.watchers {
            watcher.signal(signal);
        }
        for watcher in &scene.watchers {
            until(|| !proc::sleeps(watcher.pid()));
        }
        let begin = Instant::now();
        scene.owner.kill();
        has_recovered(&mut third);
        // The second second allows for a busy machine.
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        third.ask("release l");
        for watcher in &mut scene.watchers {
            watcher.kill();
        }
    }
}

/// Both watchers get the lock, one after the other, and wait no longer. A second later they leave.
#[test]
fn a_watcher_that_leaves_recruits_the_next_one() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut scene = Scene::new(&fixture, &name, HOUR);
    let mut third = scene.waiter(&name, HOUR);
    // The kernel wakes the first of those that sleep.
    scene.owner.ask("release l");
    scene.watchers[0].done();
    scene.watchers[0].ask("release l");
    scene.watchers[1].done();
    until(|| proc::inotify_instances(third.pid()) == 1); // no tick tells it
    scene.watchers[1].kill();
    has_recovered(&mut third);
    third.ask("release l");
}

#[test]
fn a_watcher_whose_colleague_is_killed_recruits() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut scene = Scene::new(&fixture, &name, HOUR);
    let mut third = scene.waiter(&name, HOUR);
    scene.watchers[0].kill();
    until(|| proc::inotify_instances(third.pid()) == 1); // no tick tells it
    scene.watchers[1].kill();
    scene.owner.kill();
    has_recovered(&mut third);
    third.ask("release l");
}

/// A process that both waited and is the owner does not see its own death.
#[test]
fn the_death_of_an_owner_that_watched_is_noticed_by_the_other_watcher() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut scene = Scene::new(&fixture, &name, HOUR);
    scene.owner.ask("release l");
    scene.watchers[0].done();
    scene.watchers[0].kill();
    has_recovered(&mut scene.watchers[1]);
    scene.watchers[1].ask("release l");
}

#[test]
fn the_slot_of_a_process_is_free_soon_after_its_last_wait() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut scene = Scene::new(&fixture, &name, 50);
    scene.owner.ask("release l");
    for watcher in &mut scene.watchers {
        watcher.done();
        watcher.ask("release l");
    }
    until(|| scene.file.watchers() == 0);
    for watcher in &scene.watchers {
        until(|| proc::inotify_instances(watcher.pid()) == 0);
    }
    drop(scene);
    let lock = ShmLock::open(&name).expect("a new lock");
    thread::scope(|scope| {
        let guard = lock.lock().expect("free");
        let waiting = scope.spawn(|| drop(ShmLock::open(&name).expect("it").lock().expect("it")));
        drop(guard);
        waiting.join().expect("no panic");
    });
}

/// The thread sleeps until an event of the first lock. Each further one has to wake it.
#[test]
fn a_further_lock_is_watched_without_waiting_for_a_tick() {
    const LOCKS: u32 = 5;
    /// How often the thread looks without being woken.
    const TICK: Duration = Duration::from_secs(1);
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let open = |number: u32| folder.lock(&format!("l{number}")).open().expect("a lock");
        let holders: Vec<_> = (0..LOCKS).map(open).collect();
        let guards: Vec<_> = holders.iter().map(|lock| lock.lock().expect("free")).collect();
        let process = fork(|line| {
            thread::scope(|scope| {
                for number in 0..LOCKS {
                    scope.spawn(move || drop(open(number).lock().expect("released")));
                    line.wait();
                }
            });
        });
        let on = |number: u32| Intruder::on(&folder.file(&format!("l{number}")));
        // Closed at the end: a close is an event.
        let files: Vec<_> = (0..LOCKS).map(on).collect();
        // The process comes to rest in between, however long that takes: its thread sleeps.
        let late = files.iter().filter(|file| {
            let begin = Instant::now();
            until(|| file.watchers() == 1);
            let took = begin.elapsed();
            proc::comes_to_rest(process.pid().unsigned_abs());
            process.line().ready();
            took >= TICK / 2
        });
        let late = late.count();
        assert!(late <= files.len() / 2, "{late} of {LOCKS} were noticed at a tick");
        drop(guards);
        process.ends_well();
    });
}
