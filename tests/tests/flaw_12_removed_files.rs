//! Flaw 12: the file of a lock in use is removed, and the next opener of the name gets another
//! lock.
//!
//! This cannot be prevented. Waiters notice it within a poll interval, every handle sees it in its
//! status, and the old users leave the new file alone.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use shmlock::{Error, Result, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Folder, Intruder, Solo, assert_says, before_each, byte_of};
use shmlock_tests::{actor, until};

const HERE: &str = "a lock of this process";
const HOUR: Duration = Duration::from_secs(3600);

fn assert_orphaned<T>(result: Result<T>, name: &str) {
    let Err(error) = result else { panic!("the call succeeded") };
    let Error::Orphaned { name: named, path } = &error else { panic!("{error:?}") };
    assert!(named == name && path.ends_with(format!("{name}.shmlock")));
    assert_says(&error, &[name, "removed while in use", "open again", "RemoveIPC"]);
}

#[test]
fn a_waiter_notices_within_a_poll_interval_that_the_file_was_removed() {
    let fixture = Solo::new();
    for (strategy, interval) in
        [(WaitStrategy::Futex, HOUR), (WaitStrategy::SleepPolling, Duration::from_millis(100))]
    {
        let folder = Folder::new(&fixture);
        let holder = folder.lock("l").open().expect(HERE);
        let intruder = Intruder::on(&folder.file("l"));
        holder.acquire().expect(HERE);
        let (is_removed, later) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let count = {
            let (is_removed, later) = (is_removed.clone(), later.clone());
            // Partners: the store below, and the load behind it. It is called before each sleep.
            move |_| {
                later.fetch_add(u32::from(is_removed.load(Relaxed)), Relaxed);
                ControlFlow::Continue(())
            }
        };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let waits = folder.lock("l").poll_interval(interval).wait_strategy(strategy);
                let lock = waits.interrupt(count).open().expect(HERE);
                intruder.scribble(60, 1); // the waiter has started; no process owns this word
                assert_orphaned(lock.lock(), "l");
            });
            until(|| {
                intruder.word_at(60) == 1
                    && (strategy != WaitStrategy::Futex || intruder.owner_word() >> 31 == 1)
            });
            fs::remove_file(folder.file("l")).expect("ours");
            is_removed.store(true, Relaxed); // partner: the load above
            waiter.join().expect("no panic");
        });
        let later = later.load(Relaxed); // partner: the addition above
        assert!(later <= 1, "{strategy:?}: {later} sleeps have begun since the removal");
        assert!(
            holder.status().expect(HERE).orphaned && !holder.status().expect(HERE).is_healthy()
        );
        holder.release().expect("it is still the old users' lock");
        assert!(folder.names().is_empty());
    }
}

#[test]
fn the_old_users_leave_the_new_file_alone() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let (old, other) = (folder.lock("l").open().expect(HERE), folder.lock("l").open().expect(HERE));
    old.acquire().expect(HERE);
    fs::remove_file(folder.file("l")).expect("ours");
    let new = folder.lock("l").open().expect("a new lock of that name");
    let new_guard = new.try_lock().expect(HERE).expect("another lock");
    assert!(old.status().expect(HERE).orphaned && !new.status().expect(HERE).orphaned);
    assert_orphaned(old.try_clone(), "l");
    assert_orphaned(other.try_clone(), "l");
    folder.unchanged(|| drop((old, other)));
    assert!(!new.status().expect(HERE).orphaned);
    drop(new_guard);
    drop(new);
    assert!(folder.names().is_empty());
}

#[test]
fn a_lock_without_a_name_is_not_recovered_from_a_dead_owner() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = actor!();
    holder.ask(format!("open l {name}"));
    let lock = ShmLock::open(&name).expect(HERE);
    holder.ask("lock l");
    fs::remove_file(format!("/dev/shm/{name}.shmlock")).expect("ours");
    holder.kill();
    assert_orphaned(lock.lock(), &name);
    assert!(!lock.is_held());
}

#[test]
fn a_file_with_a_second_name_is_not_removed() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    fs::hard_link(folder.file("l"), folder.file("second")).expect("ours");
    drop(lock);
    assert_eq!(folder.names(), ["l.shmlock", "second.shmlock"]);
}

/// A handle opens its file twice. Both must be the same file, even if the first still has a name.
#[test]
fn a_handle_whose_file_is_moved_while_it_opens_is_on_the_file_in_its_place() {
    let fixture = Solo::new();
    for moment in 1..=2 {
        let folder = Folder::new(&fixture);
        let [first, second] = ["l", "spare"].map(|name| folder.lock(name).open().expect(HERE));
        let [place, spare, away] = ["l", "spare", "away"].map(|name| folder.file(name));
        let (builder, mut calls) = (folder.lock("l"), 0);
        let exchange = move || {
            calls += 1;
            if calls == moment {
                fs::rename(&place, &away).expect("ours");
                fs::rename(&spare, &place).expect("ours");
            }
        };
        let opener = std::thread::spawn(move || {
            before_each(&[libc::SYS_openat], exchange)
                .map(|count| (builder.open().expect("the file in its place"), count.get()))
        });
        let Some((lock, calls)) = opener.join().expect("no panic") else { return };
        assert!(calls >= moment, "the files were not exchanged");
        lock.acquire().expect(HERE);
        let token = lock.holder().expect(HERE).expect("us").token();
        let file = Intruder::on(&folder.file("l"));
        assert_eq!(file.owner_word() & 0x3fff_ffff, token, "moment {moment}: another file's word");
        let byte = byte_of(token)..=byte_of(token);
        assert!(file.lock_of_others(&byte).is_some(), "moment {moment}: another file's byte");
        drop((first, second));
    }
}

#[test]
fn the_last_close_of_a_moved_file_leaves_the_file_in_its_place() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let moved = folder.lock("l").open().expect(HERE);
    fs::rename(folder.file("l"), folder.file("moved")).expect("ours");
    let _new = folder.lock("l").open().expect("a new lock");
    folder.unchanged(|| drop(moved));
}
