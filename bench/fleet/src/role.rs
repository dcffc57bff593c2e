//! Plays the parts of the measured programs in processes of their own: holders and waiters by the
//! library, and a bare watch.

use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use shmlock_bench_support::Result;
use shmlock_bench_support::child::wait_for_parent;
use shmlock_fleet::{FleetBuilder, FleetLock};

use crate::bare::encode;
use crate::cluster::command;

/// A lock, as seen from one machine.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) endpoint: &'a str,
    /// The directory of the machine's local locks.
    pub(crate) machine: &'a Path,
    pub(crate) ttl: u64,
}

impl Place<'_> {
    /// Begins to open the lock.
    pub(crate) fn builder(self) -> FleetBuilder {
        FleetLock::builder(self.name, [self.endpoint])
            .directory(self.machine)
            .ttl(Duration::from_secs(self.ttl))
    }

    /// Returns the command of a process that prints a line, acquires the lock by the library,
    /// prints a line, and holds the lock until it is told to go on, or killed.
    pub(crate) fn locker(self) -> Result<Command> {
        self.part("lock", 1)
    }

    /// Returns the command of a process that prints a line, waits until it is told to go on, and
    /// then acquires and releases the lock so many times.
    pub(crate) fn repeater(self, times: u32) -> Result<Command> {
        self.part("repeat", times)
    }

    fn part(self, part: &str, times: u32) -> Result<Command> {
        std::fs::create_dir_all(self.machine)?;
        let mut command = command(std::env::current_exe()?);
        command.args(["--role", part, self.name, self.endpoint]).arg(self.machine);
        command.args([self.ttl.to_string(), times.to_string()]);
        Ok(command)
    }
}

/// Returns the command of a process that watches a key without the library, and prints a line when
/// it is deleted.
pub(crate) fn watcher(key: &str, endpoint: &str) -> Result<Command> {
    let mut command = command(std::env::current_exe()?);
    command.args(["--role", "watch", key, endpoint]);
    Ok(command)
}

/// Plays a part. For the child.
pub(crate) fn play(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [part, name, endpoint, rest @ ..] = &words[..] else {
        return Err(format!("there is no part {words:?}").into());
    };
    let [machine, ttl, times] = rest else { return watch(name, endpoint) };
    let place = Place { name, endpoint, machine: Path::new(machine), ttl: ttl.parse()? };
    let lock = place.builder().open()?;
    if *part == "repeat" {
        wait_for_parent("ready")?;
        for _ in 0..times.parse::<u32>()? {
            lock.lock()?.release()?;
        }
        return Ok(());
    }
    println!("waiting");
    let guard = lock.lock()?;
    wait_for_parent("locked")?;
    Ok(guard.release()?)
}

fn watch(key: &str, endpoint: &str) -> Result<()> {
    let request = json!({ "create_request": { "key": encode(key), "filters": ["NOPUT"] } });
    let answer = ureq::post(format!("{endpoint}/v3/watch")).send(request.to_string())?;
    let stream = BufReader::new(answer.into_body().into_reader());
    for message in serde_json::Deserializer::from_reader(stream).into_iter::<Value>() {
        if message?["result"]["events"].is_array() {
            return wait_for_parent("deleted");
        }
    }
    Err("the watch has ended".into())
}
