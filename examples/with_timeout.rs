//! Three ways to give up waiting for a lock: at once, after a while, and on request.
//!
//! Another thread holds the lock, by a handle of its own; it could as well be another process.
//! Expected output, but for the numbers:
//!
//! ```text
//! try_lock: the lock is held
//! try_lock_for: lock "shmlock-with-timeout-4711" was not free within 300.1ms: held by pid 4711,
//!     uuid 67e5…, "holding on", for 0s; wait longer or see what the holder does
//! exit event: waiting for lock "shmlock-with-timeout-4711" was ended by its exit event (…
//! the owner has released it, and the lock is ours
//! ```

use std::process;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use shmlock::{Error, ExitEvent, Holder, ShmLock};

fn main() -> Result<(), Error> {
    let name = format!("shmlock-with-timeout-{}", process::id()); // parallel runs do not meet
    let owner = ShmLock::builder(&name).description("holding on").open()?;
    let ((held, is_held), (end, may_release)) = (channel(), channel());
    let owner = thread::spawn(move || {
        let guard = owner.lock()?;
        let _ = held.send(());
        let _ = may_release.recv(); // returns when `end` is dropped
        guard.release()
    });
    let _ = is_held.recv();
    give_up(&name, end)?;
    owner.join().expect("the owner does not panic")
}

fn give_up(name: &str, end: Sender<()>) -> Result<(), Error> {
    let stop = ExitEvent::new();
    let lock = ShmLock::builder(name).exit_event(&stop).open()?;

    // 1. At once. A lock that is not free is an answer, not an error.
    if lock.try_lock()?.is_none() {
        println!("try_lock: the lock is held");
    }

    // 2. After a while. The error reads well in a log, and it carries the holder.
    match lock.try_lock_for(Duration::from_millis(300)) {
        Ok(_guard) => println!("try_lock_for: released in time"),
        Err(error) if error.is_timed_out() => {
            println!("try_lock_for: {error}");
            assert_eq!(error.holder().and_then(Holder::pid), Some(process::id()));
        }
        Err(error) => return Err(error),
    }

    // 3. On request: by another thread, a signal handler or, with `ExitEvent::named`, another
    //    process.
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            stop.set()
        });
        match lock.lock() {
            Ok(_guard) => println!("exit event: released before it was set"),
            Err(error) => println!("exit event: {error}"),
        }
    });
    stop.clear()?; // while it is set, no waiter waits

    drop(end);
    let _guard = lock.lock()?;
    println!("the owner has released it, and the lock is ours");
    Ok(())
}
