//! A signal reaches the command once, however it was sent.

#![allow(unsafe_code, reason = "inherited attributes are set between fork and exec")]

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use shmlock_tests::hostile::Solo;
use shmlock_tests::{rounds, until};

use crate::program::{Running, children, ended_as_it_is, kill, says, shmlock, state_of};

/// A command that reports each TERM, and at the end of its input their number. A signal may
/// interrupt its read a few times.
const COUNTS: &str = "n=0; trap 'n=$((n+1)); echo got' TERM; trap 'echo usr1' USR1; echo ready; \
                      for i in 1 2 3 4 5 6 7 8 9; do read _ && break; done; echo total $n";

fn counting(name: &str, options: &[&str]) -> Running {
    let mut command = shmlock([&["run"], options, &[name, "sh", "-c", COUNTS]].concat());
    command.process_group(0);
    Running::start(command).ready()
}

/// Returns the number of TERM that the command had when a later signal has come through `run`.
fn total(run: &mut Running) -> String {
    run.signal(libc::SIGUSR1); // to `run` alone: forwarded after all earlier ones
    while run.read_line() != "usr1" {}
    run.write_line("end");
    let total = std::iter::repeat_with(|| run.read_line())
        .find(|line| line.starts_with("total"))
        .expect("a line");
    assert_eq!(run.code(), 0);
    total
}

#[test]
fn a_signal_to_each_process_of_a_control_group_reaches_the_command_once() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for _ in 0..rounds(40) {
        let mut run = counting(&name, &[]);
        // As systemd with KillMode=control-group: first the main process, then all others.
        let all = [vec![run.pid()], children(run.pid())].concat();
        for pid in all {
            kill(pid, libc::SIGTERM);
        }
        assert_eq!(run.read_line(), "got");
        assert_eq!(total(&mut run), "total 1");
    }
}

#[test]
fn a_signal_to_the_process_group_reaches_the_command_once() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for _ in 0..rounds(10) {
        let mut run = counting(&name, &[]);
        run.signal_group(libc::SIGTERM);
        assert_eq!(run.read_line(), "got");
        assert_eq!(total(&mut run), "total 1");
    }
}

#[test]
fn a_signal_to_run_alone_reaches_the_command_once() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for options in [&[][..], &["-o"]] {
        for _ in 0..rounds(5) {
            let mut run = counting(&name, options);
            run.signal(libc::SIGTERM);
            assert_eq!(run.read_line(), "got");
            assert_eq!(total(&mut run), "total 1");
        }
    }
}

#[test]
fn a_signal_at_any_moment_of_the_start_reaches_the_command_once_or_ends_run() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for round in 0..rounds(60) {
        let mut command = shmlock(["run", &name, "sh", "-c", COUNTS]);
        command.process_group(0);
        let mut run = Running::start(command);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(100 * round) {} // another moment each time
        run.signal_group(libc::SIGUSR2); // ends each process of the group
        let code = run.code();
        assert_eq!(
            code,
            1000 + libc::SIGUSR2,
            "`run` does not wait for a command without the signal"
        );
    }
    let _ = says(["run", &name, "true"]); // removes the file of a `run` that ended early
    assert!(fixture.files().is_empty());
}

#[test]
fn a_signal_that_is_pending_at_the_start_is_pending_in_the_command() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for options in [&[][..], &["-F"]] {
        let mut command =
            shmlock([&["run"], options, &[&name, "grep", "^ShdPnd", "/proc/self/status"]].concat());
        let block_and_send = || {
            // SAFETY: all zero is an empty set on Linux.
            let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: a valid set, and a signal that exists.
            unsafe { libc::sigaddset(&raw mut set, libc::SIGUSR2) };
            // SAFETY: a valid set, and null for the former one.
            unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
            kill(std::process::id(), libc::SIGUSR2);
            Ok(())
        };
        // SAFETY: system calls only.
        unsafe { command.pre_exec(block_and_send) };
        let pending = format!("ShdPnd:\t{:016x}\n", 1_u64 << (libc::SIGUSR2 - 1));
        assert_eq!(ended_as_it_is(command).out, pending, "{options:?}");
    }
    says(["run", &name, "true"]); // recovers the lock that -F left
}

#[test]
fn a_command_in_a_group_of_its_own_receives_the_signals_to_the_group_of_run() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut command = shmlock(["run", &name, "setsid", "sh", "-c", COUNTS]);
    command.process_group(0);
    let mut run = Running::start(command).ready();
    run.signal_group(libc::SIGTERM);
    assert_eq!(run.read_line(), "got");
    assert_eq!(total(&mut run), "total 1");
}

#[test]
fn without_a_witness_signals_are_forwarded_at_once() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut run = counting(&name, &[]);
    let witness = witness_of(&run);
    kill(witness, libc::SIGKILL);
    until(|| state_of(witness).is_none());
    run.signal(libc::SIGTERM);
    assert_eq!(run.read_line(), "got");
    assert_eq!(total(&mut run), "total 1");
}

/// Waits until the witness has its name; returns its process id.
fn witness_of(run: &Running) -> u32 {
    let is_named = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"witness\n")
    };
    let find = || children(run.pid()).into_iter().find(is_named);
    until(|| find().is_some());
    find().expect("it was there")
}

#[test]
fn the_witness_has_another_name_and_no_open_file_and_ends_with_run() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for dies in [true, false] {
        let mut run = counting(&name, &[]);
        let witness = witness_of(&run);
        let proc = |file: &str| format!("/proc/{witness}/{file}");
        until(|| std::fs::read(proc("cmdline")).is_ok_and(|line| line.starts_with(b"witness\0")));
        let line = std::fs::read(proc("cmdline")).expect("it lives");
        let words: Vec<_> = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, [b"witness"], "no pattern of pkill -f matches both");
        until(|| std::fs::read_dir(proc("fd")).is_ok_and(|open| open.count() == 1));
        let seen = says(["status", &name]).out;
        assert!(!seen.contains("witness"), "the witness is no user of the lock: {seen}");
        if dies {
            run.kill();
        }
        run.write_line("end");
        run.read_to_end();
        until(|| state_of(witness).is_none_or(|state| state == 'Z'));
    }
    says(["run", &name, "true"]); // recovers the lock of the killed one
}

#[test]
fn a_signal_that_comes_while_run_waits_for_the_lock_ends_it() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = counting(&name, &[]);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGALRM, libc::SIGQUIT] {
        for verb in [&["run", "-v", &name, "true"][..], &["hold", "-v", &name]] {
            let mut waiter = Running::start(shmlock(verb));
            assert!(waiter.read_error_line().contains("waiting for lock"));
            waiter.signal(signal);
            assert_eq!(waiter.code(), 1000 + signal, "{verb:?}");
        }
    }
    holder.write_line("end");
    assert_eq!(holder.code(), 0);
    assert!(fixture.files().is_empty());
}
