//! Measures the lock over machines: beside `etcdctl lock`, and beside the requests that it makes,
//! with real members of etcd.
//!
//! ```text
//! bash bench/fleet/run.sh
//! ```
//!
//! installs etcd, builds the program `shmlock` with its feature `fleet`, and runs all parts. Its
//! options are those of `cargo run --release -p shmlock-fleet-bench --`, which needs `etcd` and
//! `etcdctl`:
//!
//! * `--only PART`: `pairs`, `commands`, `wake`, `local`, `idle` or `loss`;
//! * `--program PATH`: the program `shmlock`; without it the parts that run it leave it out;
//! * `--directory PATH`: where the members keep their data, by default `/dev/shm`, which needs no
//!   disk and so hides no difference; the parts with three members use it as well;
//! * `--rounds N`: the pairs; a quarter as many commands and wakes, a fortieth as many losses;
//! * `--seconds N`: how long idle processes are watched.
//!
//! Contenders alternate in each round. A figure is the median, with the first and the third
//! quartile; a ratio is the median of the ratios of the rounds. Figures of a debug build mean
//! nothing, except the counts of `local`, which are checked: the program fails if they differ.

mod bare;
mod cluster;
mod commands;
mod grpc;
mod idle;
mod local;
mod loss;
mod pairs;
mod program;
mod proxy;
mod role;
mod statistics;
mod usage;
mod wake;

use std::path::{Path, PathBuf};
use std::process::Command;

use shmlock_bench_support::{Result, args::Args};

use cluster::Cluster;
use program::Locker;

/// The parts, in their order.
const PARTS: [&str; 6] = ["pairs", "commands", "wake", "local", "idle", "loss"];

struct Options {
    only: Option<String>,
    program: Option<PathBuf>,
    directory: PathBuf,
    rounds: u32,
    seconds: u64,
}

fn main() -> Result<()> {
    let mut options = Options {
        only: None,
        program: None,
        directory: "/dev/shm".into(),
        rounds: 200,
        seconds: 60,
    };
    let mut args = Args::from_env();
    while let Some(option) = args.option()? {
        match option.as_str() {
            "--only" => options.only = Some(args.text(&option)?),
            "--program" => options.program = Some(args.text(&option)?.into()),
            "--directory" => options.directory = args.text(&option)?.into(),
            "--rounds" => options.rounds = args.number(&option, 1..=1_000_000)?,
            "--seconds" => options.seconds = args.number(&option, 1..=86_400)?,
            "--role" => return role::play(&std::env::args().skip(2).collect::<Vec<_>>()),
            _ => {
                return Err(
                    format!("there is no option {option:?}; see the head of main.rs").into()
                );
            }
        }
    }
    if options.only.as_ref().is_some_and(|only| !PARTS.contains(&only.as_str())) {
        return Err(format!("--only takes one of {}", PARTS.join(", ")).into());
    }
    let machines = options.directory.join(format!("shmlock-fleet-bench-m{}", std::process::id()));
    std::fs::create_dir_all(machines.join("pair"))?;
    print_surroundings(&options.directory)?;
    let outcome = run(&options, &machines);
    std::fs::remove_dir_all(&machines)?;
    outcome
}

fn run(options: &Options, machines: &Path) -> Result<()> {
    let &Options { rounds, seconds, ref directory, .. } = options;
    let wanted = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    let machine = machines.join("pair");
    let shmlock =
        options.program.as_ref().map(|program| Locker::Shmlock(program.clone(), machine.clone()));
    for members in [3, 1] {
        let mut cluster = Cluster::start(directory, members);
        let endpoints = cluster.endpoints();
        if wanted("pairs") {
            pairs::measure(&endpoints, &machine, rounds)?;
        }
        if let (true, Some(shmlock)) = (wanted("commands"), &shmlock) {
            commands::measure(&endpoints, shmlock, rounds.div_ceil(4))?;
        }
        if members > 1 {
            continue;
        }
        if wanted("wake") {
            wake::measure(&endpoints[0], machines, rounds.div_ceil(4))?;
        }
        if wanted("local") {
            local::measure(&endpoints[0], machines)?;
        }
        if wanted("idle") {
            idle::measure(&endpoints[0], machines, shmlock.as_ref(), seconds)?;
        }
        if wanted("loss") {
            loss::measure(&mut cluster, shmlock.as_ref(), rounds.div_ceil(40))?;
        }
    }
    Ok(())
}

/// Prints what the figures depend on.
fn print_surroundings(directory: &Path) -> Result<()> {
    let output = |command: &mut Command| -> Result<String> {
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let etcd = output(Command::new("etcd").arg("--version"))?;
    let kernel = output(Command::new("uname").arg("-sr"))?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism()?;
    let file_system = output(Command::new("stat").args(["-f", "-c", "%T"]).arg(directory))?;
    println!(
        "{}; {kernel}; {cores} cores, {}",
        etcd.lines().next().unwrap_or(""),
        cpu.unwrap_or("?")
    );
    println!("data of etcd in {}: {file_system}", directory.display());
    println!("`consul lock` is not measured");
    Ok(())
}
