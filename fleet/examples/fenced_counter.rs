//! Increments the number of a fenced store, once for each hold of a fleet lock, until its input
//! ends.
//!
//! `fenced_counter ENDPOINT,… TTL STORE [--stop]` may run on many machines, many times on each. A
//! line of output tells of each step, for a comparison with the store's journal: `locked TOKEN`,
//! `sent TOKEN N`, then `accepted TOKEN N` or `refused GREATEST TOKEN N`; else `error …`.
//!
//! The check before the write finds most losses, and cannot find all. With `--stop`, the process
//! stops once (`SIGSTOP`) between the check and the write. After `SIGCONT` it writes what only the
//! store can refuse.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;
use std::{env, io, mem, thread};

use rustix::process::{Signal, getpid, kill_process};
use shmlock_fleet::shmlock::ExitEvent;
use shmlock_fleet::{FleetGuard, FleetLock};

/// How long the store may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (endpoints, ttl, store, mut is_to_stop) = match &arguments[..] {
        [endpoints, ttl, store] => (endpoints, ttl, store, false),
        [endpoints, ttl, store, option] if option == "--stop" => (endpoints, ttl, store, true),
        _ => return Err("usage: fenced_counter ENDPOINT,… TTL STORE [--stop]".into()),
    };
    let end = ExitEvent::new();
    let lock = FleetLock::builder("shmlock-example-fenced", endpoints.split(','))
        .ttl(Duration::from_secs(ttl.parse()?))
        .description("counting")
        .exit_event(&end) // ends a wait for the lock, too
        .open()?;
    let at_end = end.clone();
    thread::spawn(move || io::copy(&mut io::stdin(), &mut io::sink()).map(|_| at_end.set()));
    while !end.is_set()? {
        let counted = lock.lock().map_err(Into::into).and_then(|guard| {
            increment(&guard, store, &mut is_to_stop)?;
            Ok(guard.release()?)
        });
        if let Err::<_, Box<dyn Error>>(error) = counted {
            println!("error {error}");
            thread::sleep(PATIENCE / 10); // the servers may need time
        }
    }
    Ok(())
}

/// The critical section. Each of its requests has the token.
fn increment(
    guard: &FleetGuard<'_>,
    store: &str,
    is_to_stop: &mut bool,
) -> Result<(), Box<dyn Error>> {
    let token = guard.fencing_token();
    println!("locked {token}");
    let answer = ask(store, &format!("read {token}"))?;
    let Some(value) = answer.strip_prefix("value ") else { return Err(answer.into()) };
    let value = value.parse::<u64>()? + 1;
    guard.check()?;
    if mem::take(is_to_stop) {
        kill_process(getpid(), Signal::STOP)?;
    }
    println!("sent {token} {value}");
    println!("{} {token} {value}", ask(store, &format!("write {token} {value}"))?);
    Ok(())
}

/// Sends a request, and returns the answer.
fn ask(store: &str, request: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect_timeout(&store.parse()?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.strip_suffix('\n').ok_or("the store broke off")?.into())
}
