//! Measures the optional parts of the lock: the time of one lock and unlock by a single thread
//! without contention. Prints it for the plain lock, with hold times measured, and with a data
//! block of several sizes, which is copied in and out.
//!
//! ```text
//! cargo run --release -p shmlock-costs
//! ```
//!
//! Each figure is the best of several series; `--rounds N` sets the length of a series. Figures of
//! a debug build mean nothing.

use std::hint::black_box;
use std::process;
use std::time::{Duration, Instant};

use shmlock::{SharedBlock, ShmLock};
use shmlock_bench_support::{Result, args::Args};

/// The number of series. The best is the least disturbed.
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
    let name = format!("shmlock-costs-{}", process::id()); // runs at the same time do not meet
    let plain = ShmLock::open(&name)?;
    let measuring = ShmLock::builder(&name).measure_holds(true).open()?;
    show("lock", best(rounds, || plain.lock().map(drop))?);
    show("lock, holds measured", best(rounds, || measuring.lock().map(drop))?);
    println!("{:>10} {:>14} {:>14}", "bytes", "only read", "changed");
    measure_block::<8>(&name, rounds)?;
    measure_block::<64>(&name, rounds)?;
    measure_block::<512>(&name, rounds)?;
    measure_block::<4_096>(&name, rounds)?;
    measure_block::<65_536>(&name, rounds / 10 + 1)?;
    measure_block::<1_048_576>(&name, rounds / 1_000 + 1)?;
    Ok(())
}

/// Measures a block of `SIZE` bytes.
fn measure_block<const SIZE: usize>(name: &str, rounds: u64) -> Result<()> {
    let mut block = SharedBlock::<[u8; SIZE]>::open(&format!("{name}-block"))?;
    let read = best(rounds, || block.lock().map(|data| _ = black_box(data[0])))?;
    let changed = best(rounds, || block.lock().map(|mut data| data[0] = black_box(1)))?;
    println!("{SIZE:>10} {read:>11.1} ns {changed:>11.1} ns");
    Ok(())
}

/// Returns the mean time of one `operation` in the fastest series, in nanoseconds.
fn best(rounds: u64, mut operation: impl FnMut() -> shmlock::Result<()>) -> Result<f64> {
    let mut best = Duration::MAX;
    for _ in 0..SERIES {
        let begin = Instant::now();
        for _ in 0..rounds {
            operation()?;
        }
        best = best.min(begin.elapsed());
    }
    Ok(best.as_secs_f64() * 1e9 / f64::from(u32::try_from(rounds)?))
}

fn show(label: &str, nanoseconds: f64) {
    println!("{label:<25} {nanoseconds:>8.1} ns");
}
