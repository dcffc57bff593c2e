//! Several processes increment one counter, and no increment is lost.
//!
//! The counter is a number in a file; reading and writing it takes several system calls. The
//! processes share the lock by its name alone. Expected output:
//!
//! ```text
//! 4 processes, 2000 of 2000 increments counted
//! ```
//!
//! `counter FILE` is one of the processes. It may be started in several terminals at once.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, id};
use std::{env, fs, io};

use shmlock::ShmLock;

const PROCESSES: usize = 4;
const INCREMENTS: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(file) = env::args_os().nth(1) {
        return increment(file.as_ref());
    }
    let file = env::temp_dir().join(format!("shmlock-example-counter-{}", id()));
    let start = |_| this_program()?.arg(&file).spawn();
    let processes: io::Result<Vec<Child>> = (0..PROCESSES).map(start).collect();
    for mut process in processes? {
        process.wait()?;
    }
    let (counted, all) = (fs::read_to_string(&file)?, PROCESSES * INCREMENTS);
    println!("{PROCESSES} processes, {counted} of {all} increments counted");
    fs::remove_file(&file)?;
    if counted == all.to_string() { Ok(()) } else { Err("increments were lost".into()) }
}

/// Increments the number in the file.
fn increment(file: &Path) -> Result<(), Box<dyn Error>> {
    let lock = ShmLock::open("shmlock-example-counter")?;
    for _ in 0..INCREMENTS {
        let _guard = lock.lock()?; // waits until the lock is free; dropping it releases the lock
        let number: usize = match fs::read_to_string(file) {
            Ok(text) => text.parse()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        fs::write(file, (number + 1).to_string())?;
    }
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
