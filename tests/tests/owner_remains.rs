//! Checks owners of which only a part is gone: the handle or thread while the process lives, or the
//! CPU time of a frozen process.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use shmlock::{LockState, OwnerState, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, fork};
use shmlock_tests::{Actor, actor, alone, quietly, skipped, until};

const HERE: &str = "a lock of this process";
/// Short, so that a waiter probes the owner many times.
const POLL: Duration = Duration::from_millis(5);
const MANY_POLLS: Duration = Duration::from_millis(100);

/// A control group whose processes can be frozen, cgroups(7) version 2. Dropping it removes it, so
/// it must be empty then.
struct Freezer(PathBuf);

impl Freezer {
    /// Creates the group. This needs privilege, and the file system of version 2.
    fn new(name: &str) -> io::Result<Self> {
        let mut roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new).into_iter();
        let root =
            roots.find(|root| root.join("cgroup.procs").exists()).ok_or(io::ErrorKind::NotFound)?;
        let group = Self(root.join(name));
        fs::create_dir(&group.0)?;
        fs::metadata(group.0.join("cgroup.freeze")).map(|_| group) // since Linux 5.2
    }

    fn confine(&self, actor: &Actor) {
        fs::write(self.0.join("cgroup.procs"), actor.pid().to_string())
            .expect("the kernel moves it");
    }

    fn set(&self, frozen: bool) {
        let number = u8::from(frozen);
        fs::write(self.0.join("cgroup.freeze"), number.to_string()).expect("the kernel does so");
        let events = || fs::read_to_string(self.0.join("cgroup.events")).expect("the kernel tells");
        until(|| events().contains(&format!("frozen {number}")));
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn assert_owner_lives(lock: &ShmLock) {
    assert!(lock.try_lock_for(MANY_POLLS).expect_err("it is held").is_timed_out());
    assert_eq!(lock.status().expect(HERE).state, LockState::Held(OwnerState::Alive));
}

fn assert_owner_died(lock: &ShmLock) {
    let guard = lock.lock().expect("its owner has ended");
    assert!(guard.recovered().expect("the critical section was not finished").dead.is_some());
    guard.declare_consistent().expect("held");
}

#[test]
fn a_process_that_becomes_another_program_loses_its_lock_although_it_lives() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let owner = fork(|line| {
            let lock = ShmLock::open(&name).expect(HERE);
            let _guard = lock.lock().expect("free");
            line.ready();
            line.wait();
            let mut sleep = Command::new("sleep");
            panic!(
                "{}",
                sleep
                    .arg("60")
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .exec()
            );
        });
        owner.line().wait();
        let lock = ShmLock::builder(&name).poll_interval(POLL).open().expect(HERE);
        assert_owner_lives(&lock);
        owner.line().ready();
        assert_owner_died(&lock);
        owner.kill(); // fails if it has ended before
    });
}

#[test]
fn a_handle_that_is_never_dropped_holds_until_its_process_ends() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let lock = folder.lock("l").open().expect(HERE);
            lock.acquire().expect("free");
            std::mem::forget(lock);
            line.ready();
            line.wait();
        });
        owner.line().wait();
        let lock = folder.lock("l").poll_interval(POLL).open().expect(HERE);
        assert_owner_lives(&lock);
        owner.line().ready();
        owner.ends_well();
        assert_owner_died(&lock);
    });
}

#[test]
fn a_free_handle_that_is_never_dropped_leaves_a_free_lock() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        fork(|_| std::mem::forget(folder.lock("l").open().expect(HERE))).ends_well();
        assert_eq!(folder.names(), ["l.shmlock"], "the file was removed");
        let lock = folder.lock("l").open().expect(HERE);
        assert!(
            lock.try_lock().expect(HERE).expect("free").recovered().is_none(),
            "a death was reported"
        );
        drop(lock);
        assert!(folder.names().is_empty());
    });
}

#[test]
fn a_thread_that_ends_without_releasing_keeps_the_lock_until_its_process_ends() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let (mut owner, mut other) = (actor!(), actor!());
    other.ask(format_args!("open l {name} poll=5"));
    let mut thread = owner.thread();
    thread.ask(format_args!("open l {name}"));
    thread.ask("lock l");
    thread.ask("leak l");
    drop(thread); // the thread has ended
    assert_eq!(other.refuse("for l 100"), "TimedOut");
    assert!(other.ask("check l").starts_with("Held(Alive)"));
    owner.kill();
    other.ask("lock l");
    assert_ne!(other.ask("recovered l"), "no");
    other.ask("consistent l");
}

#[test]
fn a_thread_that_ends_with_its_handle_releases() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    std::thread::scope(|scope| {
        let other = lock.try_clone().expect(HERE);
        scope.spawn(move || other.acquire().expect("free"));
    });
    assert!(lock.try_lock().expect(HERE).expect("released").recovered().is_none());
}

#[test]
fn a_frozen_owner_is_waited_for() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let freezer = match Freezer::new(&name) {
        Ok(freezer) => freezer,
        Err(error) => return skipped(&format!("no freezer can be made: {error}")),
    };
    let mut owner = actor!("{name}");
    freezer.confine(&owner);
    owner.ask("lock l");
    freezer.set(true);
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(POLL).open()).expect(HERE);
    assert_owner_lives(&lock);
    freezer.set(false);
    owner.ask("release l");
    assert!(lock.try_lock().expect(HERE).expect("released").recovered().is_none());
}
