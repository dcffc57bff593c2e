//! Ends a test that takes too long, and reports what its threads are doing.

use std::io::{Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::{process, thread};

use crate::limits::bound;
use crate::proc::dump_threads;
use crate::traces::{self, process_prefix};

/// Returns once the watchdog's thread is running. While a thread starts it has a mutex of the
/// standard library, which exit(3) asks for: a child forked in that moment could not exit.
pub(crate) fn start() -> Sender<()> {
    let bound = bound();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (calm, alarm) = channel();
    let (is_running, runs) = channel();
    thread::spawn(move || {
        let _ = is_running.send(());
        if alarm.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
            // Not by `eprintln`: the test framework keeps that until the test ends.
            let (all, descendants) = dump_threads();
            let _ = writeln!(stderr(), "watchdog: {test} has not ended within {bound:?}\n{all}");
            // A descendant that lives on would keep the pipe open by which the test's end is
            // awaited.
            for pid in descendants {
                let _ = i32::try_from(pid)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw)
                    .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
            traces::remove(&traces::of(process_prefix()));
            process::abort();
        }
    });
    runs.recv().expect("the watchdog runs");
    calm
}
