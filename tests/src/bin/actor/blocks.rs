//! Commands about blocks.

#![allow(unsafe_code, reason = "ends the process by a signal")]

use std::sync::atomic::Ordering::Relaxed;

use shmlock::{BlockGuard, Error, SharedBlock, ShmLock};
use shmlock_tests::Account;

use crate::line::Line;
use crate::numbers::Numbers;
use crate::parse::{millis, number};
use crate::state::{Done, State};

pub(crate) fn open(
    state: &mut State,
    id: &str,
    name: &str,
    options: &[&str],
) -> Result<Done, Error> {
    let mut builder = ShmLock::builder(name);
    let mut create = None;
    for option in options {
        builder = match option.split_once('=').expect("KEY=VALUE") {
            ("schema", text) => builder.schema(text),
            ("patience", value) => builder.open_timeout(millis(value)),
            ("create", how) => {
                create = Some(how);
                builder
            }
            other => panic!("not an option: {other:?}"),
        };
    }
    let block = match create {
        None => builder.open_block()?,
        Some(how) => {
            builder.open_block_with(|numbers| self::create(numbers, how, &mut state.line))?
        }
    };
    state.blocks.insert(id.to_owned(), block);
    Ok(Done::well(()))
}

/// Fills a new block. `stall`: half of it, and never the rest. `panic`: half of it, and panics. `N`
/// or `N:ACCOUNT`: fills in the number, and counts that in the account.
fn create(numbers: &mut Numbers, how: &str, line: &mut Line) {
    match how {
        "stall" => {
            numbers.0[0] = 99;
            line.say("ok stalled");
            stall();
        }
        "panic" => {
            numbers.0[0] = 99;
            std::panic::set_hook(Box::new(|_| {}));
            panic!("as told");
        }
        how => {
            let (value, account) = how.split_once(':').unwrap_or((how, ""));
            numbers.fill(number(value));
            if !account.is_empty() {
                // Partner: the test, once all processes are done.
                Account::open(account).rounds.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Waits until this process is killed.
fn stall() -> ! {
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

pub(crate) fn close(state: &mut State, id: &str) -> Done {
    drop(state.blocks.remove(id).expect("a block of this id"));
    Done::well(())
}

fn block<'a>(state: &'a mut State, id: &str) -> &'a mut SharedBlock<Numbers> {
    state.blocks.get_mut(id).unwrap_or_else(|| panic!("no block {id} is open here"))
}

/// Answers the number, and whether a death was reported.
pub(crate) fn read(state: &mut State, id: &str) -> Result<Done, Error> {
    let guard = block(state, id).lock()?;
    let recovered = if BlockGuard::recovered(&guard).is_some() { "told" } else { "not told" };
    Ok(Done::Answer(format!("{} {recovered}", guard.read())))
}

pub(crate) fn fill(state: &mut State, id: &str, value: &str) -> Result<Done, Error> {
    let mut guard = block(state, id).lock()?;
    guard.fill(number(value));
    BlockGuard::release(guard)?;
    Ok(Done::well(()))
}

/// Fills in the number, holding the lock, and never ends.
pub(crate) fn hold(state: &mut State, id: &str, value: &str) -> Result<Done, Error> {
    let mut guard = state.blocks.get_mut(id).expect("a block of this id").lock()?;
    guard.fill(number(value));
    state.line.say("ok");
    stall();
}

/// Fills in one number after the other, without end.
pub(crate) fn race(state: &mut State, id: &str) -> Result<Done, Error> {
    state.line.say("ok");
    for number in 0.. {
        state.blocks.get_mut(id).expect("a block of this id").lock()?.fill(number);
    }
    Ok(Done::Silent)
}

/// Adds one to the number, this many times.
pub(crate) fn add(state: &mut State, id: &str, rounds: u64) -> Result<Done, Error> {
    let block = block(state, id);
    for _ in 0..rounds {
        let mut guard = block.lock()?;
        let next = guard.0[0] + 1;
        guard.fill(next);
    }
    Ok(Done::well(()))
}

pub(crate) fn consistent(state: &mut State, id: &str, value: &str) -> Result<Done, Error> {
    let mut guard = block(state, id).lock()?;
    guard.fill(number(value));
    BlockGuard::declare_consistent(&mut guard)?;
    Ok(Done::well(()))
}
