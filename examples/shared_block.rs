//! A block of shared memory that lives as long as anybody uses it, and a lock that keeps its users
//! in order.
//!
//! Run this in several terminals. Each writes its uuid again and again and finds that of the
//! others; the last one removes the block, and so does whoever comes after all were killed. It ends
//! by itself after `--rounds N` (default 5), and starts a copy of itself, so that one terminal has
//! something to show, too. Expected output, but for the numbers:
//!
//! ```text
//! 4711: found 00000000-0000-0000-0000-000000000000, wrote f9168c5e-ceb2-4faa-b6bf-329bf39fa1e4, number 1
//! 4712: found f9168c5e-ceb2-4faa-b6bf-329bf39fa1e4, wrote 67e55044-10b1-426f-9247-bb680e5fe0c8, number 2
//! …
//! 4711: out; the block is still there
//! 4712: out; the block is gone
//! ```

use std::process::{Command, id};
use std::time::Duration;
use std::{env, thread};

use shmlock::{SharedBlock, uuid::Uuid};
use shmlock_examples::{Result, args::Args};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What is shared. Any bytes are a good value, and there is no padding: `zerocopy` sees to it.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Board {
    last: [u8; 16],
    writes: u64,
}

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
    let mut copy = Command::new(env::current_exe()?)
        .arg(format!("--rounds={rounds}"))
        .arg("--copy")
        .spawn()?;
    share(rounds)?;
    copy.wait()?;
    Ok(())
}

fn share(rounds: u64) -> Result<()> {
    let mut block = SharedBlock::<Board>::open("shmlock-shared-block")?;
    let (ours, path) = (block.as_lock().uuid(), block.as_lock().path().to_owned());
    for _ in 0..rounds {
        let mut board = block.lock()?; // waits for the others; the guard is a `&mut Board`
        let found = Uuid::from_bytes(board.last);
        board.last = ours.into_bytes();
        board.writes += 1;
        println!("{}: found {found}, wrote {ours}, number {}", id(), board.writes);
        board.declare_consistent()?; // if an owner died: it had finished what it did, or nothing of it is here
        drop(board);
        thread::sleep(Duration::from_millis(200));
    }
    drop(block);
    println!("{}: out; the block is {}", id(), if path.exists() { "still there" } else { "gone" });
    Ok(())
}
