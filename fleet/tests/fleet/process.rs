//! Tests a process that forks, has no threads left, or loses its descriptors; and what a waiter
//! costs and leaves behind.

#![allow(unsafe_code, reason = "fork(2), and a descriptor that is replaced")]

use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, Uid, setrlimit};
use shmlock_fleet::shmlock::ExitEvent;
use shmlock_fleet::{Error, Fleet, FleetBuilder, FleetLock, Loss};
use shmlock_tests::{output, until};

use crate::driver::Actor;
use crate::scene::{LONG, RENEWED, Scene};

/// Names the part that this program plays as a child of a test: its role and its lock.
const PART: &str = "SHMLOCK_FLEET_PART";

/// Runs a role in a process of its own, which has no other tests' threads.
fn play(scene: &Scene, role: &str) {
    let [name, machine, _, endpoints, _] = scene.arguments(RENEWED, "a", &scene.endpoints());
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "process::a_part_is_played", "--nocapture", "--test-threads=1"])
        .env(PART, [role, &name, &machine, &endpoints].join(" "));
    let played = output(&mut command).expect("this program runs");
    let said = String::from_utf8_lossy(&played.stdout).into_owned();
    assert!(played.status.success() && said.contains("1 passed"), "{played:?}");
}

/// The other side of [`play`]; nothing in a run of the tests.
#[test]
fn a_part_is_played() {
    let Ok(part) = std::env::var(PART) else { return };
    let words: Vec<&str> = part.split(' ').collect();
    let [role, name, machine, endpoints] = words[..] else { panic!("{part}") };
    let builder = FleetLock::builder(name, endpoints.split(','))
        .directory(machine)
        .ttl(Duration::from_secs(RENEWED))
        .withdrawal_time(Duration::from_secs(30)); // the machine may be busy
    match role {
        "fork" => fork(&builder.open().expect("a lock")),
        "no-thread" => with_threads(builder, 0),
        "one-thread" => with_threads(builder, 1),
        "timers" => lose_timers(builder),
        _ => panic!("{part}"),
    }
}

#[test]
fn a_forked_child_has_no_part_in_the_hold() {
    let Some(scene) = Scene::new(1) else { return };
    play(&scene, "fork");
    assert_eq!(scene.queue(), 0);
}

fn fork(lock: &FleetLock) {
    let mut guard = Some(lock.lock().expect("it is free"));
    in_child(|| {
        let guard = guard.take().expect("a guard");
        assert_eq!(guard.loss(), Some(Loss::Forked));
        assert_eq!(guard.time_left(), Duration::ZERO);
        assert!(matches!(lock.lock(), Err(Error::Forked)));
        assert!(matches!(lock.try_lock(), Err(Error::Forked)));
        assert!(matches!(lock.holder(), Err(Error::Forked)));
        assert!(matches!(guard.release(), Err(Error::Forked)));
    });
    in_child(|| drop(guard.take()));
    // The parent has it still, and renews it.
    let guard = guard.expect("the child took its own copy");
    let before = guard.time_left();
    until(|| guard.time_left() > before);
    assert_eq!(lock.holder().expect("a server").expect("a holder").pid, std::process::id());
    guard.release().expect("it was held");
}

/// Runs `body` in a forked child, which must end without a panic.
fn in_child(body: impl FnOnce()) {
    // SAFETY: the child uses what the library promises for a forked child, and then ends at once.
    match unsafe { libc::fork() } {
        0 => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            // SAFETY: it runs no handlers and no destructors.
            unsafe { libc::_exit(i32::from(outcome.is_err())) }
        }
        child => {
            assert!(child > 0, "no child");
            let mut status = 0;
            // SAFETY: a valid place for the status.
            let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((ended, status), (child, 0), "the child's end");
        }
    }
}

#[test]
fn without_a_thread_nothing_is_left_in_etcd() {
    let Some(scene) = Scene::new(1) else { return };
    for role in ["no-thread", "one-thread"] {
        play(&scene, role);
        assert_eq!(scene.queue(), 0, "{role}");
        let leases = scene.members[0].ctl(&["lease", "list"]);
        assert!(leases.starts_with("found 0 leases"), "{role}: {leases}");
    }
}

/// Acquires with two listeners' threads, of which the system grants some only.
fn with_threads(builder: FleetBuilder, granted: u64) {
    let lock = builder.loss_event(&ExitEvent::new()).open().expect("a lock");
    // Root has no such limit, and the limit counts a user's threads: one that has no others.
    let user = Uid::from_raw(1_000_000_000 + std::process::id());
    if rustix::thread::set_thread_res_uid(user, user, user).is_err() {
        return shmlock_tests::skipped("root alone may become a user without threads");
    }
    let limit = Some(1 + granted);
    setrlimit(Resource::Nproc, Rlimit { current: limit, maximum: limit }).expect("a limit");
    let error = lock.lock().expect_err("a thread is missing");
    assert!(matches!(error, Error::System { .. }), "{error}");
}

#[test]
fn a_loss_is_told_although_the_timers_were_replaced() {
    let Some(scene) = Scene::new(1) else { return };
    play(&scene, "timers");
}

fn lose_timers(builder: FleetBuilder) {
    let (tell, told) = channel();
    let lock = builder.on_loss(move |loss| tell.send(loss).expect("the test listens"));
    let lock = lock.open().expect("a lock");
    let guard = lock.lock().expect("it is free");
    let zero = std::fs::File::open("/dev/zero").expect("a device");
    let mut replaced = 0;
    for entry in std::fs::read_dir("/proc/self/fd").expect("/proc").flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if target.to_string_lossy().contains("[timerfd]") {
            let number = entry.file_name().to_string_lossy().parse().expect("a number");
            // SAFETY: two open descriptors. The owner of the second has to bear it.
            assert_ne!(unsafe { libc::dup2(zero.as_raw_fd(), number) }, -1);
            replaced += 1;
        }
    }
    assert_eq!(replaced, 1, "the alarm's");
    // An administrator frees the lock: the keeper notices, and the alarm tells of it.
    let fleet = Fleet::access(endpoints()).request_timeout(Duration::from_secs(LONG));
    let fleet = fleet.open().expect("a client");
    assert!(fleet.free(lock.name(), guard.fencing_token()).expect("a server"));
    assert_eq!(told.recv(), Ok(Loss::KeyGone));
    assert!(guard.release().is_err_and(|error| error.is_lost()));
}

fn endpoints() -> Vec<String> {
    let part = std::env::var(PART).expect("a part");
    let endpoints = part.rsplit(' ').next().expect("endpoints");
    endpoints.split(',').map(str::to_owned).collect()
}

fn threads(actor: &Actor) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", actor.pid())).expect("a process");
    tasks.count()
}

fn descriptors(actor: &Actor) -> usize {
    shmlock_tests::proc::descriptors(actor.pid())
}

#[test]
fn calls_that_give_up_and_calls_that_succeed_leave_nothing_behind() {
    let Some(scene) = Scene::new(1) else { return };
    // A grant whose answer is not awaited leaves its lease, which ends by itself.
    let (mut holder, mut other) = (scene.actor("a"), scene.actor_with(RENEWED, "b"));
    other.locks("lock");
    assert_eq!(other.ask("release"), "released");
    until(|| threads(&other) == 1);
    let before = descriptors(&other);
    holder.locks("lock");
    for _ in 0..40 {
        assert_eq!(other.ask("try"), "busy");
        // The lease is revoked after the answer: beside the next call, by a connection more.
        until(|| threads(&other) == 1);
        // The limit cuts a request, or the wait in the queue.
        let answer = other.ask("for 20");
        assert!(answer.contains("in time"), "{answer}");
        until(|| threads(&other) == 1);
    }
    assert_eq!(scene.queue(), 1);
    assert_eq!(holder.ask("release"), "released");
    assert_eq!(other.ask("count 100"), "done 100");
    until(|| threads(&other) == 1);
    assert!(descriptors(&other) <= before + 1, "{} and {before}", descriptors(&other));
    let leases = || scene.members[0].ctl(&["lease", "list"]);
    until(|| leases().starts_with("found 0 leases"));
}

/// Each waits for the other, so often: a watch, its thread and its connection for each acquisition.
/// `SHMLOCK_FLEET_PAIRS` sets how often, and `SHMLOCK_TESTS_BOUND` for how many seconds.
#[test]
fn waits_leave_nothing_behind() {
    /// More than the allocator's own course, less than a leak in each of many waits.
    const GROWTH: u64 = 4096;
    let Some(scene) = Scene::new(1) else { return };
    let pairs = std::env::var("SHMLOCK_FLEET_PAIRS").map_or(50, |text| text.parse().expect("many"));
    let mut actors = ["a", "b"].map(|machine| scene.actor_with(RENEWED, machine));
    let mut contend = |pairs: u64| {
        for actor in &mut actors {
            actor.tell(&format!("count {pairs}"));
        }
        actors.each_mut().map(|actor| {
            assert_eq!(actor.answer(), format!("done {pairs}"));
            until(|| threads(actor) == 1);
            (descriptors(actor), resident(actor))
        })
    };
    let before = contend(20); // the allocator has what it needs
    let after = contend(pairs);
    for ((descriptors_before, before), (descriptors, after)) in before.into_iter().zip(after) {
        assert!(descriptors <= descriptors_before + 1, "{descriptors} and {descriptors_before}");
        assert!(after <= before + GROWTH, "{after} KiB and {before} KiB");
    }
    assert_eq!(scene.queue(), 0);
    let leases = || scene.members[0].ctl(&["lease", "list"]);
    until(|| leases().starts_with("found 0 leases"));
}

/// Returns the resident memory of an actor in KiB.
fn resident(actor: &Actor) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", actor.pid()));
    let status = status.expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_watch_ends_with_its_waiter_although_the_server_is_stopped() {
    let Some(scene) = Scene::new(1) else { return };
    let holder = scene.builder("a").open().expect("a lock");
    let _guard = holder.lock().expect("it is free");
    let mut waiter = scene.actor_with(RENEWED, "b");
    assert_eq!(threads(&waiter), 1);
    waiter.tell("for 5000");
    scene.until_queue_has(2);
    until(|| threads(&waiter) == 3);
    scene.members[0].signal(Signal::STOP);
    let answer = waiter.answer();
    assert!(answer.starts_with("error "), "{answer}");
    until(|| threads(&waiter) == 1);
    scene.members[0].signal(Signal::CONT);
}

#[test]
fn the_thread_of_a_waiting_call_sleeps_through_renewals() {
    let Some(scene) = Scene::new(1) else { return };
    let (mut holder, mut waiter) = (scene.actor("a"), scene.actor_with(RENEWED, "b"));
    holder.locks("lock");
    waiter.tell("lock");
    scene.until_queue_has(2);
    until(|| threads(&waiter) == 3);
    shmlock_tests::proc::comes_to_rest(waiter.pid());
    let before = shmlock_tests::proc::voluntary_sleeps(waiter.pid());
    // A lease without renewals ends meanwhile: so the waiter has renewed its own at least twice.
    let grant = scene.members[0].ctl(&["lease", "grant", &RENEWED.to_string()]);
    let other = grant.split(' ').nth(1).expect("lease ID granted …");
    until(|| !scene.members[0].ctl(&["lease", "list"]).contains(other));
    assert_eq!(scene.queue(), 2, "it has kept its place");
    assert_eq!(shmlock_tests::proc::voluntary_sleeps(waiter.pid()), before);
    assert_eq!(holder.ask("release"), "released");
    waiter.has_locked();
    waiter.releases_or_is_late();
}

#[test]
fn a_listener_that_panics_does_no_harm() {
    let Some(scene) = Scene::new(1) else { return };
    let event = ExitEvent::new();
    let lock = scene
        .builder("a")
        .ttl(Duration::from_secs(RENEWED))
        .loss_event(&event)
        .on_loss(|_| panic!("a listener of the test panics"))
        .open()
        .expect("a lock");
    let guard = lock.lock().expect("it is free");
    scene.members[0].ctl(&["del", "--prefix", &scene.prefix()]);
    until(|| event.is_set().expect("an event"));
    assert!(guard.release().is_err_and(|error| error.is_lost()));
    lock.lock().expect("the local lock is free").release().expect("it was held");
}
