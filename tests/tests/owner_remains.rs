//! What held the lock is gone and its process lives on, or the other way round.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use shmlock::{LockState, OwnerState, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, fork};
use shmlock_tests::{Actor, actor, alone, quietly, skipped, until};

const HERE: &str = "a lock of this process";
/// Short, so that a waiter looks at the owner's life many times.
const POLL: Duration = Duration::from_millis(5);
const MANY_POLLS: Duration = Duration::from_millis(100);

/// A control group whose processes can be frozen, cgroups(7) version 2. Dropping it removes it;
/// nobody may be in it then.
struct Freezer(PathBuf);

impl Freezer {
    /// Takes a privilege and the file system of version 2.
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

fn assert_held_by_the_living(lock: &ShmLock) {
    assert!(lock.try_lock_for(MANY_POLLS).expect_err("it is held").is_timed_out());
    assert_eq!(lock.status().expect(HERE).occupancy, LockState::Held(OwnerState::Alive));
}

fn assert_owner_died(lock: &ShmLock) {
    let guard = lock.lock().expect("nobody holds it any more");
    assert!(guard.recovered().expect("the section was not finished").dead.is_some());
    guard.declare_consistent().expect("held");
}

#[test]
fn a_process_that_becomes_another_program_gives_its_lock_up_although_it_lives_on() {
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
        assert_held_by_the_living(&lock);
        owner.line().ready();
        assert_owner_died(&lock);
        owner.kill(); // which says that it has lived until now
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
        assert_held_by_the_living(&lock);
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
        assert_eq!(folder.names(), ["l.shmlock"], "nobody was there to remove it");
        let lock = folder.lock("l").open().expect(HERE);
        assert!(
            lock.try_lock().expect(HERE).expect("free").recovered().is_none(),
            "nobody has died in a section"
        );
        drop(lock);
        assert!(folder.names().is_empty());
    });
}

#[test]
fn a_thread_that_ends_without_giving_back_keeps_the_lock_until_its_process_ends() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let (mut owner, mut other) = (actor!(), actor!());
    other.ask(format_args!("open l {name} poll=5"));
    let mut thread = owner.thread();
    thread.ask(format_args!("open l {name}"));
    thread.ask("lock l");
    thread.ask("leak l");
    drop(thread); // it has ended
    assert_eq!(other.refuse("for l 100"), "TimedOut");
    assert!(other.ask("check l").starts_with("Theirs(Alive)"));
    owner.kill();
    other.ask("lock l");
    assert_ne!(other.ask("recovered l"), "no");
    other.ask("consistent l");
}

#[test]
fn a_thread_that_ends_with_its_handle_gives_back() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    std::thread::scope(|scope| {
        let other = lock.try_clone().expect(HERE);
        scope.spawn(move || other.acquire().expect("free"));
    });
    assert!(lock.try_lock().expect(HERE).expect("given back").recovered().is_none());
}

#[test]
fn a_frozen_owner_is_waited_for() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let freezer = match Freezer::new(&name) {
        Ok(freezer) => freezer,
        Err(error) => return skipped(&format!("no freezer to be had: {error}")),
    };
    let mut owner = actor!("{name}");
    freezer.confine(&owner);
    owner.ask("lock l");
    freezer.set(true);
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(POLL).open()).expect(HERE);
    assert_held_by_the_living(&lock);
    freezer.set(false);
    owner.ask("release l");
    assert!(lock.try_lock().expect(HERE).expect("given back").recovered().is_none());
}
