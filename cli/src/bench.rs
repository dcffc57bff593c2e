//! `bench`: measures an acquisition of the lock beside one of flock(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};
use shmlock::ShmLock;

use crate::args::{Place, seconds};
use crate::exit::{Failure, SYSTEM, remark};
use crate::table::{Table, left, right};

const AFTER: &str = "\
An acquisition is an acquire and a release with an empty critical section. Each
figure is the median of several rounds, in which the two kinds alternate; the
smallest and the largest are in brackets. With two processes the time is that
of both together. The last column is the lesser share of the acquisitions, with
shmlock and with flock(2): 50 % is even. A smaller share means that the last
owner often acquires the lock again, which is fast and makes others wait.

Exit status:
  0   done
  64, 65, 66, 71, 73, 74  as in `shmlock --help`";

/// The number of processes that contend.
const CONTENDERS: usize = 2;
/// Names, in a contender's process, the lock to contend for. An argument would be offered by
/// completions.
const CONTEND: &str = "SHMLOCK_BENCH_CONTEND";
/// The number of acquisitions between two readings of the clock.
const BATCH: u32 = 64;

/// Compare the lock with flock(2) on this machine
///
/// Takes a few seconds. The figures hold for this machine under its present load.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The number of rounds
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    rounds: u16,

    /// The length of each measurement in seconds; a round has four
    #[arg(short, long, value_name = "SECS", default_value = "0.2", value_parser = seconds)]
    time: Duration,

    #[command(flatten)]
    place: Place,
}

/// A lock of one of the two kinds that are compared.
enum Contender {
    Shmlock(Box<ShmLock>),
    Flock(OwnedFd),
}

impl Contender {
    /// Acquires for about `time`; returns the number of acquisitions and the time they took.
    fn run(&self, time: Duration) -> Result<(u64, Duration), Failure> {
        let start = Instant::now();
        let mut count = 0;
        loop {
            for _ in 0..BATCH {
                match self {
                    Self::Shmlock(lock) => drop(lock.lock()?),
                    Self::Flock(fd) => {
                        flock(fd, FlockOperation::LockExclusive).map_err(refused)?;
                        flock(fd, FlockOperation::Unlock).map_err(refused)?;
                    }
                }
            }
            count += u64::from(BATCH);
            let passed = start.elapsed();
            if passed >= time {
                return Ok((count, passed));
            }
        }
    }
}

fn refused(errno: rustix::io::Errno) -> Failure {
    Failure::new(SYSTEM, format!("the comparison with flock(2) failed: {errno}; is /proc there?"))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: std::io::Error) -> Failure {
    Failure::new(SYSTEM, format!("a process of the comparison failed: {error}; try again"))
}

/// Measurements of one kind: nanoseconds an acquisition, and the lesser shares.
#[derive(Default)]
struct Figures {
    costs: Vec<f64>,
    shares: Vec<f64>,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        if let Some(lock) = std::env::var_os(CONTEND) {
            return self.contend(&lock);
        }
        if cfg!(debug_assertions) {
            remark(
                "this program is built without optimisation; build it with --release for figures",
            );
        }
        let name = format!("shmlock-bench-{}", std::process::id());
        let shmlock = Contender::Shmlock(
            self.place.builder(&name).description("shmlock bench").open()?.into(),
        );
        // Memory of the same kind as the lock's, and no file to remove.
        let file = memfd_create("shmlock-bench", MemfdFlags::CLOEXEC).map_err(refused)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let flock = Contender::Flock(file);

        let [mut shmlock_alone, mut flock_alone, mut shmlock_two, mut flock_two] =
            [(); 4].map(|()| Figures::default());
        for _ in 0..self.rounds {
            shmlock_alone.add(&[shmlock.run(self.time)?]);
            flock_alone.add(&[flock.run(self.time)?]);
            shmlock_two.add(&self.contended(&OsString::from(&name), "shmlock")?);
            flock_two.add(&self.contended(&OsString::from(&path), "flock")?);
        }

        let mut table = Table::new([
            left(""),
            right("SHMLOCK"),
            left(""),
            right("FLOCK(2)"),
            left(""),
            right("RATIO"),
            left("LESSER SHARE"),
        ]);
        let two = format!("{CONTENDERS} processes");
        for (what, shmlock, flock) in
            [("uncontended", shmlock_alone, flock_alone), (two.as_str(), shmlock_two, flock_two)]
        {
            let share = match shmlock.shares.as_slice() {
                [] => String::new(),
                _ => format!(
                    "{:.0} % | {:.0} %",
                    median(&shmlock.shares) * 100.0,
                    median(&flock.shares) * 100.0
                ),
            };
            let (one, other) = (median(&shmlock.costs), median(&flock.costs));
            table.row([
                what.into(),
                format!("{one:.1} ns").into(),
                range(&shmlock.costs).into(),
                format!("{other:.1} ns").into(),
                range(&flock.costs).into(),
                format!("{:.1}x", other / one).into(),
                share.into(),
            ]);
        }
        let mut out = anstream::stdout();
        table.write(&mut out, true, usize::MAX)?;
        writeln!(
            out,
            "per acquisition, median of {} rounds of {:?}; see `shmlock bench --help`",
            self.rounds, self.time
        )?;
        Ok(0)
    }

    /// Measures several processes that contend.
    fn contended(&self, lock: &OsString, kind: &str) -> Result<Vec<(u64, Duration)>, Failure> {
        let contenders: Result<Vec<_>, _> = (0..CONTENDERS).map(|_| self.start(lock)).collect();
        let mut contenders = contenders?;
        for contender in &mut contenders {
            contender.send(kind)?;
            contender.receive()?; // it has opened the lock
        }
        for contender in &mut contenders {
            contender.send("go")?;
        }
        contenders
            .iter_mut()
            .map(|contender| contender.receive().and_then(|line| parse(&line)))
            .collect()
    }

    fn start(&self, lock: &OsString) -> Result<Process, Failure> {
        let program = std::env::current_exe().map_err(broken)?;
        let mut command = Command::new(program);
        command.arg("bench").arg("--directory").arg(&self.place.directory);
        command.arg("--time").arg(self.time.as_secs_f64().to_string()).env(CONTEND, lock);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(broken)?;
        let output = child.stdout.take().map(BufReader::new);
        Ok(Process { child, output })
    }

    /// Runs in each process that [`contended`](Self::contended) starts.
    fn contend(&self, lock: &OsString) -> Result<u8, Failure> {
        let mut input = stdin().lines();
        let mut receive =
            || input.next().transpose().map_err(broken).map(Option::unwrap_or_default);
        let contender = match receive()?.as_str() {
            "shmlock" => {
                Contender::Shmlock(self.place.builder(&lock.to_string_lossy()).open()?.into())
            }
            "flock" => Contender::Flock(
                File::options().read(true).write(true).open(lock).map_err(broken)?.into(),
            ),
            _ => {
                return Err(Failure::usage(
                    "SHMLOCK_BENCH_CONTEND is for the processes of `shmlock bench`; unset it",
                ));
            }
        };
        print_line("ready")?;
        if receive()? == "go" {
            let (count, time) = contender.run(self.time)?;
            print_line(&format!("{count} {}", time.as_nanos()))?;
        }
        Ok(0)
    }
}

fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(broken)
}

fn parse(line: &str) -> Result<(u64, Duration), Failure> {
    let numbers = line
        .split_once(' ')
        .and_then(|(count, time)| Some((count.parse().ok()?, time.parse().ok()?)));
    let (count, nanos) = numbers.ok_or_else(|| broken(std::io::Error::other("it ended early")))?;
    Ok((count, Duration::from_nanos(nanos)))
}

/// A contender in a process of its own, which ends at the end of its input.
struct Process {
    child: Child,
    output: Option<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn send(&mut self, line: &str) -> Result<(), Failure> {
        self.child.stdin.as_mut().map_or(Ok(()), |input| writeln!(input, "{line}")).map_err(broken)
    }

    fn receive(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.as_mut().map_or(Ok(0), |output| output.read_line(&mut line)).map_err(broken)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Figures {
    #[allow(clippy::cast_precision_loss, reason = "statistics")]
    fn add(&mut self, runs: &[(u64, Duration)]) {
        let count: u64 = runs.iter().map(|(count, _)| count).sum();
        let time = runs.iter().map(|(_, time)| *time).max().unwrap_or_default();
        self.costs.push(time.as_nanos() as f64 / count as f64);
        if let (true, Some(least)) = (runs.len() > 1, runs.iter().map(|(count, _)| count).min()) {
            self.shares.push(*least as f64 / count as f64);
        }
    }
}

fn sorted(figures: &[f64]) -> Vec<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(figures: &[f64]) -> f64 {
    let sorted = sorted(figures);
    let middle = |n: usize| sorted.get(n).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        middle(half)
    } else {
        f64::midpoint(middle(half.wrapping_sub(1)), middle(half))
    }
}

fn range(figures: &[f64]) -> String {
    let sorted = sorted(figures);
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(most)) => format!("({least:.1} to {most:.1})"),
        _ => String::new(),
    }
}
