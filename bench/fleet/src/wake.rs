//! Measures how soon a waiter on another machine has the lock, beside the waiters of etcdctl and
//! beside a bare watch.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use shmlock_bench_support::Result;

use crate::bare::Bare;
use crate::pairs::in_milliseconds;
use crate::program::{Locker, Running, until};
use crate::role::{Place, watcher};
use crate::statistics::{Sample, head, row};

const NAME: &str = "bench-wake";

/// The metric of the watches that are open.
const WATCHES: &str = "etcd_debugging_mvcc_watcher_total";

/// The time between the opening of a watch and the deletion. The waiter goes to sleep. A watch that
/// begins in the past, as etcdctl's, joins the others after 100 ms at the latest
/// (`server/storage/mvcc/watchable_store.go`, `syncWatchersLoop`).
const SETTLE: Duration = Duration::from_millis(250);

/// Measures `rounds` wakes of each kind, in turn, and prints them.
pub(crate) fn measure(endpoint: &str, machines: &Path, rounds: u32) -> Result<()> {
    let bare = Bare::new(endpoint);
    let [here, there] = ["here", "there"].map(|machine| machines.join(machine));
    std::fs::create_dir_all(&here)?;
    let there = Place { name: NAME, endpoint, machine: &there, ttl: 60 };
    let here = Place { machine: &here, ..there };
    // A key that stands before the waiter's, as a holder's does.
    let ours = format!("shmlock/{NAME}/0");
    let theirs = format!("{}0", Locker::Etcdctl.prefix(NAME));
    let watched = "shmlock-fleet-bench/watched";
    let mut times: [Sample; 4] = Default::default();
    for round in 0..rounds as usize {
        for turn in 0..times.len() {
            let index = (round + turn) % times.len();
            times[index].add(match index {
                0 => by_deletion(&bare, &ours, there.locker()?, "waiting")?,
                1 => by_deletion(
                    &bare,
                    &theirs,
                    Locker::Etcdctl.command(NAME, endpoint, 60, &[]),
                    "",
                )?,
                2 => by_deletion(&bare, watched, watcher(watched, endpoint)?, "")?,
                _ => by_release(&bare, here, there)?,
            });
        }
    }
    let title = format!("Wake of a waiter on another machine, rounds: {rounds}");
    head(&title, &["ms", "beside the bare watch"]);
    for (label, time) in [
        "**library**: the key before is deleted, until the waiter holds the lock",
        "`etcdctl lock`: the same",
        "bare watch of the key: until its event",
        "**library**: from the call of `release` until the waiter holds the lock",
    ]
    .iter()
    .zip(&times)
    {
        row(label, &[format!("{time:.2}"), format!("{:.2}", time.beside(&times[2]))]);
    }
    Ok(())
}

/// Measures from the request that deletes `key` to the line of the process that waits for that.
fn by_deletion(bare: &Bare, key: &str, mut waiter: Command, first_line: &str) -> Result<f64> {
    bare.put(key, "holder")?;
    let watches = open_watches(bare)?;
    let waiter = Running::start(&mut waiter)?;
    if !first_line.is_empty() {
        waiter.next_line()?;
    }
    until("a watch", || Ok(open_watches(bare)? > watches))?;
    std::thread::sleep(SETTLE);
    let begin = Instant::now();
    bare.delete(key)?;
    let end = waiter.next_line()?;
    if first_line.is_empty() {
        waiter.interrupt()?;
    } else {
        waiter.go_on()?;
    }
    until("the watch's end", || Ok(open_watches(bare)? <= watches))?;
    Ok(in_milliseconds(end - begin))
}

/// Measures from a release on one machine to the line of the waiter on the other.
fn by_release(bare: &Bare, here: Place, there: Place) -> Result<f64> {
    let lock = here.builder().open()?;
    let guard = lock.lock()?;
    let watches = open_watches(bare)?;
    let waiter = Running::start(&mut there.locker()?)?;
    waiter.next_line()?;
    until("a watch", || Ok(open_watches(bare)? > watches))?;
    std::thread::sleep(SETTLE);
    let begin = Instant::now();
    guard.release()?;
    let end = waiter.next_line()?;
    waiter.go_on()?;
    until("the watch's end", || Ok(open_watches(bare)? <= watches))?;
    Ok(in_milliseconds(end - begin))
}

fn open_watches(bare: &Bare) -> Result<f64> {
    bare.metrics()?.get(WATCHES).copied().ok_or_else(|| "etcd does not count watches".into())
}
