//! Checks that each wrong use of a handle returns an error and changes nothing.

use std::error::Error as _;
use std::time::Duration;
use std::{fmt, mem};

use shmlock::{
    Errno, Error, ExitEvent, InvalidNameReason, LockState, NotALockReason, Result, ShmLock,
};
use shmlock_tests::hostile::{Folder, Intruder, Solo, assert_says, fork};
use shmlock_tests::{actor, alone};

const HERE: &str = "a lock of this process";

/// Asserts that the error is the expected variant, and that its text names the lock and contains
/// these parts.
fn assert_refused<T: fmt::Debug>(
    result: Result<T>,
    is_expected: impl Fn(&Error) -> bool,
    name: &str,
    parts: &[&str],
) {
    let error = result.expect_err("a wrong use");
    assert!(is_expected(&error), "{error:?}");
    assert_says(&error, parts);
    assert_says(&error, &[&format!("{name:?}")]);
    assert!(error.errno().is_none() && error.source().is_none());
}

fn assert_not_held<T: fmt::Debug>(result: Result<T>, name: &str) {
    assert_refused(
        result,
        |error| matches!(error, Error::NotHeld { .. }),
        name,
        &["acquire it first"],
    );
}

#[test]
fn releasing_a_lock_that_is_not_held_is_an_error_and_changes_nothing() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let lock = ShmLock::open(&name).expect(HERE);
    assert_not_held(lock.release(), &name);
    assert_not_held(lock.declare_consistent(), &name);
    assert!(!lock.force_release().expect(HERE), "a free lock was released by force");
    let mut other = actor!();
    other.ask(format!("open l {name}"));
    other.ask("lock l");
    assert_not_held(lock.release(), &name);
    assert_not_held(lock.declare_consistent(), &name);
    assert!(!lock.force_release().expect(HERE), "another process's hold was released by force");
    assert!(
        other.ask("check l").starts_with("HeldByThisHandle"),
        "the other process lost its hold"
    );
    other.ask("release l");
    lock.acquire().expect(HERE);
    lock.release().expect(HERE);
    assert_not_held(lock.release(), &name);
    assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
}

#[test]
fn releasing_by_hand_under_a_guard_is_an_error_and_the_guard_still_holds() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let lock = ShmLock::open(&name).expect(HERE);
    let (one, two) = (lock.lock().expect(HERE), lock.lock().expect("nested"));
    let guards_alive = |error: &Error| matches!(error, Error::GuardsAlive { guards: 2, .. });
    assert_refused(
        lock.release(),
        guards_alive,
        &name,
        &["2 guard(s)", "drop them", "force_release"],
    );
    lock.acquire().expect("nested");
    lock.release().expect("the unguarded hold");
    assert_refused(lock.release(), guards_alive, &name, &["2 guard(s)"]);
    assert!(lock.is_held());
    one.release().expect("held");
    two.release().expect("held");
    assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
}

#[test]
fn a_guard_of_a_hold_that_was_ended_by_force_has_nothing_to_release() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let lock = ShmLock::open(&name).expect(HERE);
    let (one, two) = (lock.lock().expect(HERE), lock.lock().expect("nested"));
    assert!(lock.force_release().expect(HERE));
    assert_not_held(one.declare_consistent(), &name);
    lock.acquire().expect("free again");
    assert_not_held(one.release(), &name);
    drop(two);
    assert!(lock.is_held(), "an old guard released the new hold");
    lock.release().expect("held");
}

#[test]
fn a_thread_that_waits_for_itself_gets_a_deadlock_error_at_once() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let (one, two) = (ShmLock::open(&name).expect(HERE), ShmLock::open(&name).expect(HERE));
    let guard = one.lock().expect(HERE);
    let deadlock = |error: &Error| matches!(error, Error::WouldDeadlock { .. });
    let parts = ["this thread holds", "by another handle", "nest by the same handle"];
    assert_refused(two.lock().map(mem::forget), deadlock, &name, &parts);
    assert_refused(two.acquire(), deadlock, &name, &parts);
    assert_refused(two.try_acquire_for(Duration::from_secs(100)), deadlock, &name, &parts);
    assert!(!two.try_acquire().expect("one try is no deadlock"));
    drop(guard);
    assert!(two.try_acquire().expect(HERE));
}

#[test]
fn a_handle_from_before_a_fork_refuses_every_use_and_its_parent_keeps_the_lock() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let lock = ShmLock::open(&name).expect(HERE);
        let guard = lock.lock().expect(HERE);
        fork(|_| {
            let forked = |error: &Error| matches!(error, Error::ForkedHandle { .. });
            let refused = |result: Result<()>| {
                let parts = ["belongs to the parent process", "open the name again"];
                assert_refused(result, forked, &name, &parts);
            };
            refused(lock.lock().map(mem::forget));
            refused(lock.try_lock().map(mem::forget));
            refused(lock.acquire());
            refused(lock.try_acquire().map(drop));
            refused(lock.try_acquire_for(Duration::from_secs(1)));
            refused(lock.release());
            refused(lock.force_release().map(drop));
            refused(lock.is_locked().map(drop));
            refused(lock.holder().map(drop));
            refused(lock.status().map(drop));
            refused(lock.declare_consistent());
            refused(lock.set_description("the child's"));
            refused(lock.try_clone().map(drop));
            assert!(lock.fencing_token().is_none());
            assert!(
                !ShmLock::open(&name)
                    .expect("the child's own handle")
                    .try_acquire()
                    .expect("a lock"),
                "the child acquired its parent's lock"
            );
        })
        .ends_well();
        assert!(lock.is_held());
        guard.release().expect("undisturbed");
    });
}

#[test]
fn a_handle_and_an_event_that_a_forked_child_drops_still_work_in_the_parent() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let lock = ShmLock::open(&name).expect(HERE);
        let event = ExitEvent::named(&name).expect("an event");
        let mut parents = Some((lock, event));
        if let Some((lock, _)) = &parents {
            lock.acquire().expect(HERE);
        }
        fork(|_| {
            let (lock, event) = parents.take().expect("the child's copy");
            assert!(matches!(event.set(), Err(Error::ForkedHandle { .. })));
            drop((lock, event));
        })
        .ends_well();
        let (lock, event) = parents.take().expect("ours");
        assert!(!event.is_set().expect("ours") && lock.is_held());
        assert_eq!(lock.status().expect(HERE).state, LockState::HeldByThisHandle);
        lock.release().expect("undisturbed");
    });
}

#[test]
fn a_word_that_was_overwritten_is_noticed_at_the_release_and_left_alone() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    let overwritten = |error: &Error| matches!(error, Error::Overwritten { .. });
    let parts = ["overwritten", "l.shmlock", "find out which other program writes"];
    for word in [0, 0x4000_0000, 77] {
        let guard = lock.lock().expect("free");
        intruder.scribble(0, word);
        assert_refused(guard.declare_consistent(), overwritten, "l", &parts);
        assert_refused(guard.release(), overwritten, "l", &parts);
        assert_eq!(intruder.owner_word(), word);
        assert!(!lock.is_held());
        intruder.scribble(0, 0);
    }
}

#[test]
fn every_error_is_one_line_that_says_what_to_do() {
    let fixture = Solo::new();
    let lock = ShmLock::builder(&fixture.name("l"))
        .description("two\nlines \u{1b}[2J")
        .open()
        .expect(HERE);
    let _guard = lock.lock().expect(HERE);
    let holder = lock.holder().expect(HERE).map(Box::new);
    let name = || "a\nname".to_owned();
    let path = || "/dev/shm/a.shmlock".into();
    let waited = Duration::from_millis(1500);
    let errno = Errno::NOSPC;
    let found = [
        NotALockReason::Symlink,
        NotALockReason::HardLink,
        NotALockReason::Directory,
        NotALockReason::Fifo,
        NotALockReason::Socket,
        NotALockReason::Device,
        NotALockReason::Removed,
    ];
    let found = found.into_iter().chain([
        NotALockReason::Size { bytes: 1 },
        NotALockReason::Magic { word: 1 },
        NotALockReason::Version { version: 9 },
    ]);
    let reasons = [
        InvalidNameReason::Empty,
        InvalidNameReason::Slash,
        InvalidNameReason::Nul,
        InvalidNameReason::Dots,
    ];
    let reasons = reasons.into_iter().chain([InvalidNameReason::TooLong { len: 300 }]);
    let mut all = vec![
        (Error::ZeroPollInterval, "use at least"),
        (Error::DescriptionTooLong { len: 64 }, "shorten"),
        (Error::InvalidMode { mode: 0 }, "give the owner"),
        (Error::System { operation: "create", path: path(), errno }, "free space"),
        (Error::Unsupported { what: "this", path: path(), errno: Some(errno) }, "put the lock on"),
        (Error::Unsupported { what: "this", path: path(), errno: None }, "put the lock on"),
        (Error::ForeignOwner { path: path(), uid: 1 }, "trust_owner"),
        (Error::ModeTooWide { path: path(), found: 0o666, allowed: 0o600 }, "ask for that mode"),
        (
            Error::InUseWithOtherMode {
                path: path(),
                found: 0o666,
                allowed: 0o600,
                holder: holder.clone(),
            },
            "end all its users first",
        ),
        (
            Error::InUseWithOtherMode { path: path(), found: 0o666, allowed: 0o600, holder: None },
            "end all its users first",
        ),
        (Error::OpenTimedOut { path: path(), waited }, "continue or kill"),
        (
            Error::TimedOut { name: name(), waited: Duration::ZERO, holder: holder.clone() },
            "wait for it or try later",
        ),
        (
            Error::TimedOut { name: name(), waited: Duration::ZERO, holder: None },
            "wait for it or try later",
        ),
        (Error::TimedOut { name: name(), waited, holder: holder.clone() }, "wait longer"),
        (Error::Cancelled { name: name(), holder: holder.clone() }, "clear the event"),
        (Error::Interrupted { name: name(), holder }, "then wait again"),
        (Error::WouldDeadlock { name: name() }, "release that first"),
        (Error::Poisoned { name: name(), dead: None }, "declare_consistent"),
        (Error::Orphaned { name: name(), path: path() }, "open again"),
        (Error::ForkedHandle { name: name() }, "open the name again"),
        (Error::NotHeld { name: name() }, "acquire it first"),
        (Error::GuardsAlive { name: name(), guards: 2 }, "drop them"),
        (Error::NestingTooDeep { name: name() }, "release it more often"),
        (Error::Overwritten { name: name(), path: path() }, "find out which other"),
    ];
    all.extend(found.map(|found| (Error::NotALock { path: path(), found }, "remove it")));
    all.extend(
        reasons.map(|reason| (Error::InvalidName { name: name(), reason }, "cannot be the name")),
    );
    for (error, remedy) in &all {
        assert_says(error, &[remedy]);
    }
}

#[test]
fn an_error_has_its_errno_as_its_source() {
    let path = || std::path::PathBuf::from("/dev/shm");
    let errno = Errno::MFILE;
    let system = Error::System { operation: "open", path: path(), errno };
    let unsupported = Error::Unsupported { what: "this", path: path(), errno: Some(errno) };
    for error in [system, unsupported] {
        let source = error.source().expect("the system's reason").downcast_ref::<Errno>();
        assert_eq!((error.errno(), source), (Some(errno), Some(&errno)));
        let standard: &(dyn std::error::Error + Send + Sync) = &error;
        assert!(standard.to_string().contains("Too many open files"), "{standard}");
    }
    assert!(Error::Unsupported { what: "this", path: path(), errno: None }.source().is_none());
}
