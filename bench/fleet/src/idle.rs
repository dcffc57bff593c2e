//! Measures what an idle holder and an idle waiter cost: traffic, wake-ups, processor time.

use std::path::Path;
use std::time::{Duration, Instant};

use shmlock_bench_support::Result;

use crate::program::{Locker, Running};
use crate::proxy::{Passed, Proxy};
use crate::role::Place;
use crate::statistics::{head, row};
use crate::usage::Account;

/// The TTLs, in seconds.
const TTLS: [u64; 3] = [2, 10, 60];

/// The time before the account begins, in which all processes come to rest.
const SETTLE: Duration = Duration::from_secs(2);

/// The time between two looks at the threads. A thread that ends counts with its last values.
const LOOK: Duration = Duration::from_millis(200);

/// A holder or a waiter, with an address of its own for the member.
struct Idler {
    label: String,
    proxy: Proxy,
    process: Running,
}

/// Watches all of them at the same time, for so many seconds, and prints what they cost a minute.
pub(crate) fn measure(
    endpoint: &str,
    machines: &Path,
    shmlock: Option<&Locker>,
    seconds: u64,
) -> Result<()> {
    let mut idlers = Vec::new();
    for ttl in TTLS {
        for part in ["holder", "waiter"] {
            let proxy = Proxy::start(endpoint)?;
            let (name, machine) = (format!("bench-idle-{ttl}"), machines.join(part));
            let place = Place { name: &name, endpoint: proxy.endpoint(), machine: &machine, ttl };
            let process = Running::start(&mut place.locker()?)?;
            process.next_line()?;
            idlers.push(idler(format!("{ttl} s, {part}: **library**"), proxy, process, part)?);

            let proxy = Proxy::start(endpoint)?;
            let mut command = Locker::Etcdctl.command(&name, proxy.endpoint(), ttl, &[]);
            let process = Running::start(&mut command)?;
            idlers.push(idler(format!("{ttl} s, {part}: `etcdctl lock`"), proxy, process, part)?);

            if let Some(Locker::Shmlock(program, _)) = shmlock {
                let proxy = Proxy::start(endpoint)?;
                let locker = Locker::Shmlock(program.clone(), machine);
                let name = format!("bench-idle-run-{ttl}");
                let under = ["sh", "-c", "echo up; exec sleep 1000000"];
                let mut command = locker.command(&name, proxy.endpoint(), ttl, &under);
                let process = Running::start(&mut command)?;
                let label = format!("{ttl} s, {part}: {}", locker.label());
                idlers.push(idler(label, proxy, process, part)?);
            }
        }
    }
    std::thread::sleep(SETTLE);
    let open = |one: &Idler| Ok((one.proxy.passed(), Account::open(one.process.pid())?));
    let mut accounts = idlers.iter().map(open).collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(LOOK);
        accounts.iter_mut().try_for_each(|(_, account)| account.look())?;
    }
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    head(
        &format!("Idle, for each minute, over {seconds} s"),
        &["bytes", "connections", "wake-ups", "processor time"],
    );
    for (idler, (before, account)) in idlers.iter().zip(&accounts) {
        let Passed { bytes, connections } = idler.proxy.passed();
        let used = account.used();
        let time = used.time.as_secs_f64() * 1e3 / minutes;
        let [bytes, connections, wake_ups] =
            [bytes - before.bytes, connections - before.connections, used.wake_ups]
                .map(|count| format!("{:.0}", per_minute(count, minutes)));
        row(&idler.label, &[bytes, connections, wake_ups, format!("{time:.1} ms")]);
    }
    Ok(())
}

/// Waits until a holder holds; a waiter says nothing.
fn idler(label: String, proxy: Proxy, process: Running, part: &str) -> Result<Idler> {
    if part == "holder" {
        process.next_line()?;
    }
    Ok(Idler { label, proxy, process })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn per_minute(count: u64, minutes: f64) -> f64 {
    count as f64 / minutes
}
