//! Giving up politely: three ways not to wait for ever for a lock that somebody else holds.
//!
//! The program starts a second process that takes the lock and keeps it. Expected output, but for
//! the numbers:
//!
//! ```text
//! try_lock: somebody else holds it
//! try_lock_for: lock "shmlock-with-timeout" was not free within 300.1ms: held by pid 4711, uuid 67e5…, "holding on",
//!     for 0s; wait longer or see what the holder does
//! exit event: waiting for lock "shmlock-with-timeout" was ended by its exit event (held by pid 4711, …); clear the …
//! process 4711 has let go, and the lock is ours
//! ```

use std::time::Duration;
use std::{env, thread};

use shmlock::{ExitEvent, Holder, ShmLock};
use shmlock_examples::{Result, child, child::Child};

const NAME: &str = "shmlock-with-timeout";

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => give_up_politely(),
        Some("hold") => hold(),
        Some(_) => Err("usage: with_timeout".into()),
    }
}

/// The second process.
fn hold() -> Result<()> {
    let lock = ShmLock::builder(NAME).description("holding on").open()?;
    let _guard = lock.lock()?;
    child::wait_for_parent("I hold it")
}

fn give_up_politely() -> Result<()> {
    let mut holder = Child::start(["hold"])?;
    holder.expect("I hold it")?;
    let stop = ExitEvent::new();
    let lock = ShmLock::builder(NAME).exit_event(&stop).open()?;

    // 1. Not waiting at all. That somebody else holds the lock is an answer here, not an error.
    if lock.try_lock()?.is_none() {
        println!("try_lock: somebody else holds it");
    }

    // 2. Waiting for a while. The error is a sentence for a log; the holder in it can also be asked
    //    for.
    match lock.try_lock_for(Duration::from_millis(300)) {
        Ok(_guard) => println!("try_lock_for: it was given back in time"),
        Err(error) if error.is_timed_out() => {
            println!("try_lock_for: {error}");
            assert_eq!(error.holder().and_then(Holder::pid), Some(holder.pid()));
        }
        Err(error) => return Err(error.into()),
    }

    // 3. Waiting until somebody says stop: here another thread; with `ExitEvent::named`, another
    //    process.
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            stop.set()
        });
        match lock.lock() {
            Ok(_guard) => println!("exit event: the lock was given back before it was set"),
            Err(error) => println!("exit event: {error}"),
        }
    });
    stop.clear()?;

    holder.go_on();
    let _guard = lock.lock()?;
    println!("process {} has let go, and the lock is ours", holder.pid());
    // Dropping it would kill it, perhaps before it has closed the lock.
    holder.wait()?;
    Ok(())
}
