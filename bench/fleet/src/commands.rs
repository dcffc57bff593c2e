//! Measures `shmlock run --fleet … -- true` beside `etcdctl lock … true`.

use std::process::Stdio;

use shmlock_bench_support::Result;

use crate::cluster::command;
use crate::pairs::milliseconds;
use crate::program::Locker;
use crate::statistics::{Sample, head, row};

/// Measures `rounds` commands of each kind, in turn, and prints them.
pub(crate) fn measure(endpoints: &[String], shmlock: &Locker, rounds: u32) -> Result<()> {
    let joined = endpoints.join(",");
    let run = |locker: &Locker| {
        let mut command = locker.command("bench-command", &joined, 10, &["true"]);
        let status = command.stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
    };
    let alone = || command("true").status().map(drop).map_err(Into::into);
    let mut times: [Sample; 3] = Default::default();
    for round in 0..=rounds as usize {
        for turn in 0..times.len() {
            let index = (round + turn) % times.len();
            let time = milliseconds(|| match index {
                0 => run(shmlock),
                1 => run(&Locker::Etcdctl),
                _ => alone(),
            })?;
            // The first round reads the programs from the disk.
            if round > 0 {
                times[index].add(time);
            }
        }
    }
    let title = format!("Command beside command, members: {}, rounds: {rounds}", endpoints.len());
    head(&title, &["ms", "beside `etcdctl lock`"]);
    let labels =
        ["**`shmlock run --fleet` … `-- true`**", "`etcdctl lock` … `true`", "`true` alone"];
    for (label, time) in labels.iter().zip(&times) {
        row(label, &[format!("{time:.1}"), format!("{:.2}", time.beside(&times[1]))]);
    }
    Ok(())
}
