//! Measures what opening and closing cost, beside opening and mapping a page of shared memory,
//! which is the least that memory with a name can cost.
//!
//! ```text
//! cargo run --release -p shmlock-opening
//! ```
//!
//! It prints three figures, each of lock and page in turn:
//!
//! * the time of open, lock, unlock and close, while another process has the name open;
//! * how often a second several processes at once do that (`--processes N`);
//! * the time to open and to close many handles of one name in one process (`--handles N`).
//!
//! `--rounds N` sets how often one series opens. The figures are medians of several series.
//! Figures of a debug build mean nothing.

mod page;

use std::io::{BufRead, stdin};
use std::time::{Duration, Instant};

use shmlock::ShmLock;
use shmlock_bench_support::child::{Child, wait_for_parent};
use shmlock_bench_support::{Result, args::Args};

use page::Page;

/// The number of series of each kind. They alternate.
const SERIES: usize = 15;

/// The time for which several processes open at once.
const AT_ONCE: Duration = Duration::from_millis(500);

fn main() -> Result<()> {
    let (mut rounds, mut handles, mut processes) = (1000_u32, 5000_u32, 4_u32);
    let mut args = Args::from_env();
    while let Some(option) = args.option()? {
        match option.as_str() {
            "--rounds" => rounds = args.number(&option, 1..=1_000_000)?,
            "--handles" => handles = args.number(&option, 1..=1_000_000)?,
            "--processes" => processes = args.number(&option, 1..=1000)?,
            "--keep" => return keep(&args.text(&option)?),
            "--open" => return open_for_a_while(&args.text(&option)?),
            _ => {
                return Err(format!(
                    "there is no option {option:?}, only --rounds, --handles and --processes"
                )
                .into());
            }
        }
    }
    let name = format!("shmlock-opening-{}", std::process::id()); // runs at once do not meet
    let page = Page::create(&name)?;
    let mut keeper = Child::start(["--keep", &name])?;
    keeper.next_line()?;
    one_by_one(&name, rounds)?;
    at_once(&name, processes)?;
    many(&name, handles)?;
    drop(page);
    keeper.go_on();
    keeper.wait()?;
    Ok(())
}

/// Keeps the name open until the parent goes on. For the child.
fn keep(name: &str) -> Result<()> {
    let _lock = ShmLock::open(name)?;
    wait_for_parent("open")
}

/// Opens, locks, unlocks and closes the lock.
fn use_lock(name: &str) -> Result<()> {
    Ok(ShmLock::open(name)?.lock().map(drop)?)
}

/// Opens the page, adds to its first word, and closes it.
fn use_page(name: &str) -> Result<()> {
    Page::open(name)?.touch();
    Ok(())
}

fn one_by_one(name: &str, rounds: u32) -> Result<()> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..SERIES {
        for (times, act) in times.iter_mut().zip([use_lock, use_page]) {
            let begin = Instant::now();
            for _ in 0..rounds {
                act(name)?;
            }
            times.push(begin.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
        }
    }
    let [lock, page] = times.map(median);
    println!(
        "open, use, close      lock {lock:8.2} us   page {page:8.2} us   {:.2} x",
        lock / page
    );
    Ok(())
}

/// Opens for a while, and prints how often. For the child: the first letter says what.
fn open_for_a_while(what: &str) -> Result<()> {
    let (kind, name) = what.split_at(1);
    let act = if kind == "l" { use_lock } else { use_page };
    println!("ready");
    stdin().lock().read_line(&mut String::new())?;
    let (begin, mut times) = (Instant::now(), 0_u32);
    while begin.elapsed() < AT_ONCE {
        act(name)?;
        times += 1;
    }
    println!("{}", f64::from(times) / begin.elapsed().as_secs_f64());
    Ok(())
}

fn at_once(name: &str, processes: u32) -> Result<()> {
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..SERIES / 3 {
        for (rates, kind) in rates.iter_mut().zip(["l", "p"]) {
            let start = |_| Child::start(["--open", &format!("{kind}{name}")]);
            let mut children = (0..processes).map(start).collect::<Result<Vec<_>>>()?;
            for child in &mut children {
                child.next_line()?;
            }
            children.iter_mut().for_each(Child::go_on);
            let mut sum = 0.0;
            for child in &mut children {
                sum += child.next_line()?.ok_or("a child has ended")?.parse::<f64>()?;
                child.wait()?;
            }
            rates.push(sum / 1e3);
        }
    }
    let [lock, page] = rates.map(median);
    println!(
        "{processes} processes at once   lock {lock:8.1} k/s  page {page:8.1} k/s  {:.2} x",
        page / lock
    );
    Ok(())
}

fn many(name: &str, handles: u32) -> Result<()> {
    for handles in [handles / 4, handles] {
        let mut times = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..3 {
            let begin = Instant::now();
            let locks =
                (0..handles).map(|_| ShmLock::open(name)).collect::<shmlock::Result<Vec<_>>>()?;
            times[0].push(begin.elapsed().as_secs_f64() * 1e3);
            let begin = Instant::now();
            drop(locks);
            times[1].push(begin.elapsed().as_secs_f64() * 1e3);
            let begin = Instant::now();
            let pages = (0..handles).map(|_| Page::open(name)).collect::<Result<Vec<_>>>()?;
            times[2].push(begin.elapsed().as_secs_f64() * 1e3);
            let begin = Instant::now();
            drop(pages);
            times[3].push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let [open, close, page_open, page_close] = times.map(median);
        println!(
            "{handles} handles        lock {open:8.1} ms to open, {close:8.1} ms to close   page \
             {page_open:8.1} ms, {page_close:8.1} ms"
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
