//! Counts what contenders of one machine cost etcd: the waiters nothing, each acquisition the same
//! whatever their number.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use shmlock_bench_support::Result;
use shmlock_bench_support::failure::Failure;

use crate::bare::Bare;
use crate::program::Running;
use crate::role::Place;
use crate::statistics::{head, row};

/// How long the waiters wait under a held lock. The lease is long: no renewal falls into this time.
const WAIT: Duration = Duration::from_secs(3);
const TTL: u64 = 60;

/// The acquisitions of all contenders together.
const TURNS: u32 = 120;

/// The requests that etcd has received, and the puts among them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Requests {
    all: u64,
    puts: u64,
}

/// Counts with one and with twenty local contenders, and prints the counts.
///
/// # Errors
/// A message if the number of contenders makes a difference.
pub(crate) fn measure(endpoint: &str, machines: &Path) -> Result<()> {
    let bare = Bare::new(endpoint);
    let machine = machines.join("local");
    let place = Place { name: "bench-local", endpoint, machine: &machine, ttl: TTL };
    let crowds = [1, 20];
    let [few, many] = crowds.map(|crowd| while_waiting(&bare, place, crowd));
    let waiting = [few?, many?];
    let [few, many] = crowds.map(|crowd| in_turn(&bare, place, crowd));
    let turns = [few?, many?];
    head("Contenders of one machine, requests to etcd", &["1 process", "20 processes"]);
    let show =
        |counts: [Requests; 2]| counts.map(|count| format!("{}, {} puts", count.all, count.puts));
    row(
        &format!("they wait for {} s, another process holds the lock", WAIT.as_secs()),
        &show(waiting),
    );
    row(&format!("they acquire and release {TURNS} times in all"), &show(turns));
    if waiting != [Requests { all: 0, puts: 0 }; 2] {
        return Err("local waiters send requests to etcd".into());
    }
    if turns[0] != turns[1] || turns[0].puts != u64::from(TURNS) {
        return Err("an acquisition costs etcd more if there are local contenders".into());
    }
    Ok(())
}

/// Counts while so many processes wait for a lock that another process of the machine holds.
fn while_waiting(bare: &Bare, place: Place, crowd: u32) -> Result<Requests> {
    let holder = Running::start(&mut place.locker()?)?;
    holder.next_line()?;
    holder.next_line()?;
    let before = received(bare)?;
    let waiters = start(crowd, || place.locker())?;
    std::thread::sleep(WAIT);
    let count = since(before, received(bare)?);
    drop(waiters); // killed: a turn each would be requests
    holder.go_on()?;
    Ok(count)
}

/// Counts while so many processes of one machine acquire the lock [`TURNS`] times in all.
fn in_turn(bare: &Bare, place: Place, crowd: u32) -> Result<Requests> {
    let repeaters = start(crowd, || place.repeater(TURNS / crowd))?;
    let before = received(bare)?;
    repeaters.into_iter().try_for_each(Running::go_on)?;
    Ok(since(before, received(bare)?))
}

/// Starts processes, and returns once each has printed a line.
fn start(crowd: u32, command: impl Fn() -> Result<Command>) -> Result<Vec<Running>> {
    let start = |_| Running::start(&mut command()?);
    let processes = (0..crowd).map(start).collect::<Result<Vec<_>>>()?;
    for process in &processes {
        process.next_line()?;
    }
    Ok(processes)
}

/// Reads what the member has received since its start.
fn received(bare: &Bare) -> Result<Requests> {
    let metrics = bare.metrics()?;
    let get = |name: &str| {
        let value = metrics.get(name).ok_or_else(|| format!("etcd does not count {name}"))?;
        Ok::<_, Failure>(value.to_string().parse()?) // a counter is a whole number
    };
    Ok(Requests {
        all: get("grpc_server_started_total")?,
        puts: get("etcd_debugging_mvcc_put_total")?,
    })
}

fn since(before: Requests, after: Requests) -> Requests {
    Requests { all: after.all - before.all, puts: after.puts - before.puts }
}
