//! Recovers a lock whose owner was killed, and repairs the data that the owner left half-written.
//!
//! Two accounts, in a file, hold 100 together. A second process acquires the lock, moves 30 from
//! the first account, and is killed by SIGKILL before they reach the second. Expected output, but
//! for the numbers:
//!
//! ```text
//! process 4711 is killed in the middle of a transfer
//! acquired after 50 ms; an owner died: pid 4711, uuid 67e5…, "transfer of 30", for 0s
//! found 70 + 0, repaired to 100 + 0
//! the next owner is told of a death: false
//! ```

use std::error::Error;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio, id};
use std::time::Instant;
use std::{env, fs};

use shmlock::ShmLock;

fn main() -> Result<(), Box<dyn Error>> {
    let (role, name) = (env::args().nth(1), env::args().nth(2));
    match (role.as_deref(), name) {
        (None, _) => recover(&format!("shmlock-recover-{}", id())), // parallel runs do not meet
        (Some("transfer"), Some(name)) => transfer(&name),
        _ => Err("usage: recover_dead_owner".into()),
    }
}

/// Acquires the lock and never completes the transfer: the second process.
fn transfer(name: &str) -> Result<(), Box<dyn Error>> {
    let lock = ShmLock::builder(name).description("transfer of 30").open()?;
    let _guard = lock.lock()?;
    fs::write(env::temp_dir().join(name), "70 0")?;
    println!("in the middle");
    io::stdin().read_line(&mut String::new())?; // ends by a kill, or with the first process
    Ok(())
}

fn recover(name: &str) -> Result<(), Box<dyn Error>> {
    let file = env::temp_dir().join(name);
    fs::write(&file, "100 0")?;
    let lock = ShmLock::open(name)?;

    let mut second = this_program()?;
    second.args(["transfer", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut second = second.spawn()?;
    let output = second.stdout.take().ok_or("the process has no standard output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    println!("process {} is killed in the middle of a transfer", second.id());
    second.kill()?;

    // An ordinary lock call recovers the lock, once the kernel proves that the owner is gone.
    let killed = Instant::now();
    let guard = lock.lock()?;
    let recovered = guard.recovered().ok_or("the owner was killed, but the lock was free")?;
    let dead = recovered.dead.ok_or("the owner died earlier, in another run")?;
    println!("acquired after {} ms; an owner died: {dead}", killed.elapsed().as_millis());
    println!("found {}, repaired to 100 + 0", fs::read_to_string(&file)?.replace(' ', " + "));
    fs::write(&file, "100 0")?;
    guard.declare_consistent()?; // without this, each later owner would be told as well
    guard.release()?;
    let told = lock.lock()?.recovered().is_some();
    println!("the next owner is told of a death: {told}");
    second.wait()?;
    Ok(fs::remove_file(&file)?)
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
