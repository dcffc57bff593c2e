//! What becomes of a lock whose owner is killed, and of the data that it leaves half-written.
//!
//! Two accounts hold 100 together. A second process takes the lock, takes 30 off the first account,
//! and is killed by SIGKILL before it puts them on the second. Expected output, but for the
//! numbers:
//!
//! ```text
//! process 4711 is killed in the middle of a transfer
//! 50 ms later the lock is ours; an owner died holding it: pid 4711, uuid 67e5…, "transfer of 30", for 0s
//! found 70 + 0, mended to 100 + 0
//! the next owner finds 100 + 0, and is told of a death: false
//! ```

use std::time::Instant;
use std::{env, process};

use shmlock::ShmLock;
use shmlock_examples::{Result, block::Block, child, child::Child};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => recover(&format!("shmlock-recover-{}", process::id())), /* a name of our own: several runs do not meet */
        (Some("transfer"), Some(name)) => transfer(&name),
        _ => Err("usage: recover_dead_owner".into()),
    }
}

/// The second process.
fn transfer(name: &str) -> Result<()> {
    let lock = ShmLock::builder(name).description("transfer of 30").open()?;
    let guard = lock.lock()?;
    let accounts = Block::attach(&guard, name, 2)?;
    accounts.word(0).set(accounts.word(0).get() - 30);
    child::wait_for_death("in the middle");
}

fn recover(name: &str) -> Result<()> {
    let lock = ShmLock::open(name)?;
    let guard = lock.lock()?;
    let accounts = Block::attach(&guard, name, 2)?;
    let [first, second] = [0, 1].map(|account| accounts.word(account));
    first.set(100);
    drop(guard);

    let mut child = Child::start(["transfer", name])?;
    child.expect("in the middle")?;
    println!("process {} is killed in the middle of a transfer", child.pid());
    child.kill()?;

    // Nothing special is done: whoever comes next takes the lock over, once the kernel proves that
    // its owner is gone.
    let killed = Instant::now();
    let guard = lock.lock()?;
    if let Some(recovered) = guard.recovered() {
        print!("{} ms later the lock is ours; ", killed.elapsed().as_millis());
        match recovered.dead {
            Some(dead) => println!("an owner died holding it: {dead}"),
            None => println!("an owner died earlier, and nobody has mended the data since"),
        }
        print!("found {} + {}, ", first.get(), second.get());
        first.set(100 - second.get());
        println!("mended to {} + {}", first.get(), second.get());
        guard.declare_consistent()?; // without this, every later owner would be told as well
    }
    guard.release()?;

    let guard = lock.lock()?;
    let told = guard.recovered().is_some();
    println!(
        "the next owner finds {} + {}, and is told of a death: {told}",
        first.get(),
        second.get()
    );
    accounts.leave(&guard)?;
    Ok(())
}
