//! Checks the log: each event of a lock has its level, and names the lock, its uuid and its
//! description.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};
use shmlock::{Error, ExitEvent, ShmLock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{Capability, alone, can};

/// Short, so that waits end soon.
const POLL: Duration = Duration::from_millis(5);

/// The flag of the owner word. An acquisition of a free lock with it is disturbed.
const WAITERS: u32 = 1 << 31;

/// Keeps all lines.
struct Keeper(Mutex<Vec<(Level, String)>>);

static KEPT: Keeper = Keeper(Mutex::new(Vec::new()));

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

fn begin(level: LevelFilter) {
    log::set_logger(&KEPT).expect("the only logger");
    log::set_max_level(level);
}

/// Returns the lines logged since the last call.
fn lines() -> Vec<(Level, String)> {
    std::mem::take(&mut KEPT.0.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Asserts that one line was logged since the last call, at this level, with the lock's identity
/// and these words.
fn assert_logged(level: Level, lock: &ShmLock, words: &str) {
    let lines = lines();
    let [(found, line)] = lines.as_slice() else { panic!("one line with {words:?}: {lines:?}") };
    let (name, uuid, description) = (lock.name(), lock.uuid().to_string(), lock.description());
    assert_eq!(*found, level, "{line}");
    for part in [name, &uuid, &description, words] {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

#[test]
fn every_event_of_a_lock_is_logged_at_its_level_with_the_locks_identity() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        begin(LevelFilter::Debug);
        let lock = folder.lock("conveyor").description("belt 7").open().expect("a new lock");
        assert_logged(Level::Debug, &lock, "opened");
        let guard = lock.lock().expect("free");
        assert_logged(Level::Debug, &lock, "acquired");
        let other = folder.lock("conveyor").description("belt 8").open().expect("a lock");
        drop(lines());
        assert!(other.try_lock().expect("a lock").is_none());
        assert_logged(Level::Debug, &other, "tried");
        assert!(other.lock().is_err());
        assert_logged(Level::Debug, &other, "this thread holds");
        drop(guard);
        assert_logged(Level::Debug, &lock, "released");
        // A static token, whose liveness is unknown.
        Intruder::on(&folder.file("conveyor")).scribble(0, 1);
        assert!(other.try_lock_for(Duration::from_millis(1)).is_err());
        assert_all_logged(&other, &["waits for", "was not free within"]);
        Intruder::on(&folder.file("conveyor")).scribble(0, 0);
        drop(other);
        assert!(
            lines().iter().any(|(level, line)| *level == Level::Debug && line.contains("closing"))
        );
    });
}

/// Asserts that the lines since the last call are all at `debug`, and each has its words in it.
fn assert_all_logged(lock: &ShmLock, words: &[&str]) {
    let lines = lines();
    assert_eq!(lines.len(), words.len(), "{lines:?}");
    for ((level, line), words) in lines.iter().zip(words) {
        assert!(
            *level == Level::Debug
                && line.contains(words)
                && line.contains(&lock.uuid().to_string()),
            "{line}"
        );
    }
}

#[test]
fn the_begin_of_a_wait_is_logged_with_the_owner_and_its_hold_time() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        begin(LevelFilter::Debug);
        let open = |text| {
            folder.lock("conveyor").description(text).poll_interval(POLL).open().expect("a lock")
        };
        let (owner, other) = (open("belt 7"), open("belt 8"));
        let (uuid, stop) = (owner.uuid().to_string(), ExitEvent::new());
        let guard = owner.lock().expect("free");
        thread::scope(|scope| {
            let (other, mut stopped) = (other, open("belt 9"));
            stopped.set_exit_event(Some(&stop));
            let stop = &stop;
            let in_another_thread = scope.spawn(move || {
                drop(lines());
                assert!(other.try_lock_for(POLL * 10).is_err());
                let logged = lines();
                assert!(
                    logged.len() == 2
                        && logged[0].1.contains(&uuid)
                        && logged[0].1.contains("belt 7"),
                    "{logged:?}"
                );
                assert!(
                    logged[0].1.contains("waits for") && logged[0].1.contains(", for "),
                    "{logged:?}"
                );
                assert!(other.try_lock().expect("a lock").is_none());
                assert_all_logged(&other, &["one try"]);
                stop.set().expect("ours");
                assert!(stopped.lock().expect_err("it is set").is_cancelled());
                assert_all_logged(&stopped, &["ended by its exit event"]);
                let mut future = pin!(other.lock_async());
                let mut context = Context::from_waker(Waker::noop());
                for words in [&["one try", "waits for"][..], &["one try"]] {
                    assert!(future.as_mut().poll(&mut context).is_pending());
                    assert_all_logged(&other, words);
                }
            });
            in_another_thread.join().expect("no panic");
        });
        drop(guard);
    });
}

#[test]
fn a_logger_that_panics_when_a_wait_begins_ends_no_wait() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        log::set_logger(&Panics).expect("the only logger");
        log::set_max_level(LevelFilter::Debug);
        let open = || folder.lock("conveyor").poll_interval(POLL).open().expect("a lock");
        let (owner, other) = (open(), open());
        let guard = owner.lock().expect("free");
        thread::scope(|scope| {
            let in_another_thread = scope.spawn(move || {
                assert!(
                    other.try_lock_for(POLL).is_err_and(|error| error.is_timed_out()),
                    "the panic ended the wait"
                );
                assert!(!other.is_held() && other.try_lock().expect("not in transition").is_none());
                let mut future = Box::pin(other.lock_async());
                assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                drop(future);
                other
            });
            let other = in_another_thread.join().expect("no panic");
            drop(guard);
            assert!(other.lock().is_ok());
        });
    });
}

/// Panics when a wait begins.
struct Panics;

impl Log for Panics {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        assert!(!record.args().to_string().contains("waits for"), "the logger");
    }

    fn flush(&self) {}
}

#[test]
fn a_death_a_leak_and_an_overwritten_word_are_warnings() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        begin(LevelFilter::Warn);
        let open = |text| folder.lock("conveyor").description(text).open().expect("a lock");
        let (lock, doomed) = (open("belt 7"), open("doomed"));
        let uuid = doomed.uuid().to_string();
        std::mem::forget(doomed.lock().expect("free"));
        assert_eq!(lines(), [], "a leak alone is not logged");
        drop(doomed);
        let left = lines();
        assert!(
            left.len() == 1 && left[0].1.contains("leaked") && left[0].1.contains(&uuid),
            "{left:?}"
        );
        let guard = lock.lock().expect("a dead owner's");
        assert_logged(
            Level::Warn,
            &lock,
            &format!("recovered from a dead owner, pid {}, uuid {uuid}", std::process::id()),
        );
        drop(guard);
        let guard = lock.lock().expect("free");
        assert_logged(Level::Warn, &lock, "the data has not been declared consistent");
        guard.declare_consistent().expect("held");
        Intruder::on(&folder.file("conveyor")).scribble(0, 0);
        assert!(guard.release().is_err());
        assert_logged(Level::Warn, &lock, "overwritten");
        assert!(lock.lock().expect("free").release().is_ok());
        assert_eq!(lines(), []);
    });
}

#[test]
fn a_level_that_is_raised_counts_from_the_next_acquisition_that_is_disturbed() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        begin(LevelFilter::Warn);
        let lock = folder.lock("conveyor").description("belt 7").open().expect("a new lock");
        for _ in 0..3 {
            drop(lock.lock().expect("free"));
        }
        log::set_max_level(LevelFilter::Debug);
        drop(lock.lock().expect("free"));
        assert_eq!(lines(), [], "an undisturbed acquisition asks nobody");
        drop(lock.try_lock().expect("free"));
        assert_eq!(lines(), [], "nor does a try that is undisturbed");
        Intruder::on(&folder.file("conveyor")).scribble(0, WAITERS);
        drop(lock.lock().expect("free"));
        assert_all_logged(&lock, &["acquired", "released"]);
        drop(lock.lock().expect("free"));
        assert_all_logged(&lock, &["acquired", "released"]);
        let late = folder.lock("conveyor").description("belt 8").open().expect("a lock");
        drop(lines());
        drop(late.lock().expect("free"));
        assert_all_logged(&late, &["acquired", "released"]);
        log::set_max_level(LevelFilter::Warn);
        drop(lock.lock().expect("free"));
        drop(late.lock().expect("free"));
        assert_eq!(lines(), []);
    });
}

#[test]
fn a_forked_handle_is_a_warning() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        begin(LevelFilter::Warn);
        let lock = folder.lock("conveyor").description("belt 7").open().expect("a new lock");
        fork(|_| {
            assert!(matches!(lock.lock(), Err(Error::ForkedHandle { .. })));
            assert_logged(Level::Warn, &lock, "used in a forked child");
        })
        .ends_well();
        assert_eq!(lines(), []);
    });
}
