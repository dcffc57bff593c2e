//! Measures an acquisition and release by the library, beside the requests that it makes.

use std::path::Path;
use std::time::{Duration, Instant};

use shmlock_bench_support::Result;
use shmlock_fleet::FleetLock;

use crate::bare::Bare;
use crate::statistics::{Sample, head, row};

/// The pairs before the first that counts: connections are made.
const WARM_UP: u32 = 10;

type Pair<'a> = (&'static str, Box<dyn Fn() -> Result<()> + 'a>);

/// Measures `rounds` pairs of each kind, in turn, and prints them.
pub(crate) fn measure(endpoints: &[String], machine: &Path, rounds: u32) -> Result<()> {
    let lock = FleetLock::builder("bench-pair", endpoints).directory(machine).open()?;
    let bare = Bare::new(&endpoints[0]);
    let grpc = std::cell::RefCell::new(crate::grpc::Connection::open(&endpoints[0])?);
    let put_key = "shmlock-fleet-bench";
    let pairs: [Pair; 5] = [
        ("**library**: `lock`, `release`", Box::new(|| Ok(lock.lock()?.release()?))),
        (
            "bare: grant, put and read, delete, revoke",
            Box::new(|| {
                let lease = bare.grant(10)?;
                bare.contend("bench-bare/", &lease)?;
                bare.withdraw("bench-bare/", &lease)?;
                bare.revoke(&lease)
            }),
        ),
        (
            "bare: grant, put and read, revoke",
            Box::new(|| {
                let lease = bare.grant(10)?;
                bare.contend("bench-bare/", &lease)?;
                bare.revoke(&lease)
            }),
        ),
        ("bare: one put", Box::new(|| bare.put(put_key, "bare"))),
        ("one put by gRPC", Box::new(|| grpc.borrow_mut().put(put_key, "bare"))),
    ];
    for _ in 0..WARM_UP {
        pairs.iter().try_for_each(|(_, pair)| pair())?;
    }
    let mut times: [Sample; 5] = Default::default();
    for round in 0..rounds as usize {
        for turn in 0..pairs.len() {
            let index = (round + turn) % pairs.len();
            times[index].add(milliseconds(|| pairs[index].1())?);
        }
    }
    let title =
        format!("Library beside bare requests, members: {}, rounds: {rounds}", endpoints.len());
    head(&title, &["ms", "beside the four requests", "beside the three"]);
    for ((label, _), time) in pairs.iter().zip(&times) {
        let [four, three] = [1, 2].map(|index| format!("{:.2}", time.beside(&times[index])));
        row(label, &[format!("{time:.2}"), four, three]);
    }
    Ok(())
}

/// Returns the time of `action` in milliseconds.
pub(crate) fn milliseconds(action: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begin = Instant::now();
    action()?;
    Ok(in_milliseconds(begin.elapsed()))
}

pub(crate) fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
