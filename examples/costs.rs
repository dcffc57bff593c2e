//! What do the optional things cost? Prints the time of one lock and unlock by one thread that
//! nobody disturbs: alone, with holds measured, and with data of several sizes that is copied in
//! and out.
//!
//! Each is the best of several series; `--rounds N` sets the length of one. A debug build shows
//! nothing of interest.

use std::hint::black_box;
use std::process;
use std::time::{Duration, Instant};

use shmlock::{SharedBlock, ShmLock};
use shmlock_examples::{Result, args::Args};

/// How many series are measured. Their best is the one that was disturbed least.
const SERIES: u32 = 20;

fn main() -> Result<()> {
    let mut rounds = 100_000;
    let mut args = Args::from_env();
    while let Some(option) = args.option()? {
        match option.as_str() {
            "--rounds" => rounds = args.number(&option, 1..=u64::from(u32::MAX))?,
            _ => return Err(format!("there is no option {option:?}, only --rounds N").into()),
        }
    }
    let name = format!("shmlock-costs-{}", process::id()); // of our own: several runs do not meet
    let plain = ShmLock::open(&name)?;
    let measuring = ShmLock::builder(&name).measure_holds(true).open()?;
    show("lock", best(rounds, || plain.lock().map(drop))?);
    show("lock, holds measured", best(rounds, || measuring.lock().map(drop))?);
    println!("{:>10} {:>14} {:>14}", "bytes", "only read", "changed");
    data::<8>(&name, rounds)?;
    data::<64>(&name, rounds)?;
    data::<512>(&name, rounds)?;
    data::<4_096>(&name, rounds)?;
    data::<65_536>(&name, rounds / 10 + 1)?;
    data::<1_048_576>(&name, rounds / 1_000 + 1)?;
    Ok(())
}

/// A block of this size.
fn data<const SIZE: usize>(name: &str, rounds: u64) -> Result<()> {
    let mut block = SharedBlock::<[u8; SIZE]>::open(&format!("{name}-block"))?;
    let read = best(rounds, || block.lock().map(|data| _ = black_box(data[0])))?;
    let changed = best(rounds, || block.lock().map(|mut data| data[0] = black_box(1)))?;
    println!("{SIZE:>10} {read:>11.1} ns {changed:>11.1} ns");
    Ok(())
}

/// The shortest time that one `act` took on the average of a series, in nanoseconds.
fn best(rounds: u64, mut act: impl FnMut() -> shmlock::Result<()>) -> Result<f64> {
    let mut best = Duration::MAX;
    for _ in 0..SERIES {
        let begin = Instant::now();
        for _ in 0..rounds {
            act()?;
        }
        best = best.min(begin.elapsed());
    }
    Ok(best.as_secs_f64() * 1e9 / f64::from(u32::try_from(rounds)?))
}

fn show(what: &str, nanos: f64) {
    println!("{what:<25} {nanos:>8.1} ns");
}
