//! Measures how soon a command is ended when its lock is lost.

use std::process::Stdio;
use std::time::{Duration, Instant};

use shmlock_bench_support::Result;

use crate::bare::Bare;
use crate::cluster::Cluster;
use crate::pairs::in_milliseconds;
use crate::program::{Locker, Running};
use crate::statistics::{Sample, head, row};

/// The TTL of the leases: the shortest that etcd grants with its default settings.
const TTL: u64 = 2;

/// A command that is not ended within three TTLs is not ended by the loss.
const LIMIT: Duration = Duration::from_secs(3 * TTL);

/// A command that ends on SIGTERM, and says so. A signal interrupts `wait`, and its child may get
/// one before it.
const COMMAND: [&str; 3] = [
    "sh",
    "-c",
    "trap 'echo term; kill $!; exit' TERM; echo up; while :; do sleep 100 & wait; done",
];

/// How a lock is lost.
#[derive(Clone, Copy)]
enum Event {
    KeyDeleted,
    LeaseRevoked,
    /// No member can be reached any more.
    ServersGone,
}

/// The times of one program and one event; `None` if the command ran on.
struct Times {
    term: Vec<Option<f64>>,
    end: Vec<Option<f64>>,
}

/// Loses `rounds` locks of each program in each way, and prints the times.
pub(crate) fn measure(cluster: &mut Cluster, shmlock: Option<&Locker>, rounds: u32) -> Result<()> {
    let lockers = [shmlock, Some(&Locker::Etcdctl)];
    let title = format!("Loss, TTL {TTL} s, rounds: {rounds}");
    head(&title, &["until SIGTERM, ms", "until the command's end, ms"]);
    for (event, label) in [
        (Event::KeyDeleted, "key deleted"),
        (Event::LeaseRevoked, "lease revoked"),
        (Event::ServersGone, "servers gone"),
    ] {
        for locker in lockers.into_iter().flatten() {
            let mut times = Times { term: Vec::new(), end: Vec::new() };
            for round in 0..rounds {
                lose(cluster, locker, event, (round, rounds), &mut times)?;
            }
            row(&format!("{label}: {}", locker.label()), &[shown(&times.term), shown(&times.end)]);
        }
    }
    Ok(())
}

/// Loses one lock. The rounds begin at different moments between two renewals.
fn lose(
    cluster: &mut Cluster,
    locker: &Locker,
    event: Event,
    (round, rounds): (u32, u32),
    times: &mut Times,
) -> Result<()> {
    let endpoint = cluster.endpoints().swap_remove(0);
    let bare = Bare::new(&endpoint);
    let name = format!("bench-loss-{round}-{}", event as u8);
    let mut command = locker.command(&name, &endpoint, TTL, &COMMAND);
    // The program says why it ends the command.
    let mut running = Running::start(command.stderr(Stdio::null()))?;
    running.next_line()?;
    std::thread::sleep(
        Duration::from_secs(TTL) / 3 + Duration::from_secs(TTL) / 3 * round / rounds,
    );
    let (key, lease) =
        bare.keys(&locker.prefix(&name))?.pop().ok_or("the held lock has no key in etcd")?;
    let begin = Instant::now();
    match event {
        Event::KeyDeleted => bare.delete(&key)?,
        Event::LeaseRevoked => bare.revoke(&lease)?,
        Event::ServersGone => cluster.kill(),
    }
    let term = running.line_within(LIMIT).map(|(moment, _)| in_milliseconds(moment - begin));
    let left = LIMIT.saturating_sub(begin.elapsed());
    let end = running.end_within(left)?.map(|_| in_milliseconds(begin.elapsed()));
    times.term.push(term);
    times.end.push(end);
    drop(running);
    if matches!(event, Event::ServersGone) {
        cluster.restart();
    }
    Ok(())
}

/// Shows the quartiles if each command was ended.
fn shown(times: &[Option<f64>]) -> String {
    let ended: Vec<f64> = times.iter().flatten().copied().collect();
    let sample: Sample = ended.iter().copied().collect();
    match ended.len() {
        0 => format!("not within {} s", LIMIT.as_secs()),
        count if count == times.len() => format!("{sample:.0}"),
        count => format!("{sample:.0}; {} of {} not at all", times.len() - count, times.len()),
    }
}
