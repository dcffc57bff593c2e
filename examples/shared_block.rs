//! A block of shared memory that lives as long as anybody uses it, and a lock that keeps its users in order.
//!
//! Run this in several terminals. Each counts itself in, writes its uuid again and again and finds that of the others,
//! and counts itself out; the last one removes the block. It ends by itself after `--rounds N` (default 5), and starts a
//! copy of itself, so that one terminal has something to show, too. Expected output, but for the numbers:
//!
//! ```text
//! 4711: in, references: 1
//! 4712: in, references: 2
//! 4712: references: 2, found 67e55044-10b1-426f-9247-bb680e5fe0c8, wrote f9168c5e-ceb2-4faa-b6bf-329bf39fa1e4
//! …
//! 4711: out, references: 1
//! 4712: out, references: 0, block removed: true
//! ```

use std::process::{Command, id};
use std::time::Duration;
use std::{env, thread};

use shmlock::{ShmLock, uuid::Uuid};
use shmlock_examples::{Result, args::Args, block::Block};

const NAME: &str = "shmlock-shared-block";

fn main() -> Result<()> {
    let (mut rounds, mut is_copy) = (5, false);
    let mut args = Args::from_env();
    while let Some(option) = args.option()? {
        match option.as_str() {
            "--rounds" => rounds = args.number(&option, 1..=1_000_000)?,
            "--copy" => is_copy = true,
            _ => return Err(format!("there is no option {option:?}, only --rounds N").into()),
        }
    }
    if is_copy {
        return share(rounds);
    }
    let mut copy = Command::new(env::current_exe()?).arg(format!("--rounds={rounds}")).arg("--copy").spawn()?;
    share(rounds)?;
    copy.wait()?;
    Ok(())
}

fn share(rounds: u64) -> Result<()> {
    let (pid, lock) = (id(), ShmLock::open(NAME)?);
    let guard = lock.lock()?;
    let block = Block::attach(&guard, NAME, 3)?;
    let [references, high, low] = [0, 1, 2].map(|index| block.word(index));
    references.add(1);
    println!("{pid}: in, references: {}", references.get());
    drop(guard);

    for _ in 0..rounds {
        let guard = lock.lock()?;
        let (found, ours) = (Uuid::from_u64_pair(high.get(), low.get()), lock.uuid());
        high.set(ours.as_u64_pair().0);
        low.set(ours.as_u64_pair().1); // without the lock, another could find half of it
        println!("{pid}: references: {}, found {found}, wrote {ours}", references.get());
        drop(guard);
        thread::sleep(Duration::from_millis(200));
    }

    let guard = lock.lock()?;
    references.set(references.get() - 1);
    print!("{pid}: out, references: {}", references.get());
    // Whoever was killed has not counted itself out. So it is the kernel that says who is the last, and not the count.
    println!(", block removed: {}", block.leave(&guard)?);
    guard.declare_consistent()?; // if an owner died: half a uuid does no harm here
    Ok(())
}
