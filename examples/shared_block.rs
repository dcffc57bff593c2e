//! Data in shared memory under the name of its lock. It lives as long as a process has it open.
//!
//! The program runs in two processes, and may be started in several terminals. Each process writes
//! its uuid several times and finds the uuid of another. The last one to close the block removes
//! it, also if the others were killed. Expected output, but for the numbers:
//!
//! ```text
//! 4711: found 00000000-0000-0000-0000-000000000000, wrote f9168c5e-ceb2-4faa-b6bf-329bf39fa1e4, 1
//! 4712: found f9168c5e-ceb2-4faa-b6bf-329bf39fa1e4, wrote 67e55044-10b1-426f-9247-bb680e5fe0c8, 2
//! …
//! 4711: closed; the block still exists
//! 4712: closed; the block is gone
//! ```

use std::error::Error;
use std::process::{Command, id};
use std::time::Duration;
use std::{env, io, thread};

use shmlock::{BlockGuard, SharedBlock, uuid::Uuid};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The shared data. The derives check that all bytes are a valid value, and that none is padding.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Board {
    last: [u8; 16],
    writes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        None => {
            let mut second = this_program()?.arg("once").spawn()?;
            share()?;
            if second.wait()?.success() { Ok(()) } else { Err("the second process failed".into()) }
        }
        Some("once") => share(),
        Some(_) => Err("usage: shared_block [once]".into()),
    }
}

fn share() -> Result<(), Box<dyn Error>> {
    let mut block = SharedBlock::<Board>::open("shmlock-shared-block")?; // zeroed, if it is new
    let (uuid, path) = (block.as_lock().uuid(), block.as_lock().path().to_owned());
    for _ in 0..5 {
        let mut board = block.lock()?; // waits for the other processes; acts as `&mut Board`
        let found = Uuid::from_bytes(board.last);
        board.last = uuid.into_bytes();
        board.writes += 1;
        println!("{}: found {found}, wrote {uuid}, {}", id(), board.writes);
        // If an owner died: its change is here as a whole, or not at all. Both are good values.
        BlockGuard::declare_consistent(&mut board)?;
        drop(board);
        thread::sleep(Duration::from_millis(200));
    }
    drop(block);
    let state = if path.exists() { "still exists" } else { "is gone" };
    println!("{}: closed; the block {state}", id());
    Ok(())
}

/// Returns the command that starts this program again. `SHMLOCK_EXAMPLES_RUNNER` names its
/// emulator, if it needs one.
fn this_program() -> io::Result<Command> {
    let program = env::current_exe()?;
    let Some(emulator) = env::var_os("SHMLOCK_EXAMPLES_RUNNER") else {
        return Ok(Command::new(program));
    };
    let mut command = Command::new(emulator);
    command.arg(program);
    Ok(command)
}
