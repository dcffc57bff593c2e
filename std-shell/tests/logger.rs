//! Tests the ready-made logger. A process has one, so most tests run in a process of their own.

#![cfg(feature = "logger")]

use std::fs::{self, File};
use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use log::LevelFilter;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use shmlock::{Logger, ShmLock};
use shmlock_tests::hostile::fork;
use shmlock_tests::{Fixture, output, rounds};

/// The environment variable that says how the process logs.
const TOLD: &str = "SHMLOCK_LOGGER_TEST";

/// Logs in a process of its own; returns what it writes to standard error: that terminal, or a
/// pipe.
fn said(how: &str, no_color: &str, terminal: Option<File>) -> String {
    let program = std::env::current_exe().unwrap();
    // By the emulator of this process, if there is one.
    let mut command = shmlock_tests::command(program.to_str().unwrap());
    command
        .args(["the_process_that_logs", "--exact", "--nocapture"])
        .env(TOLD, how)
        .env("NO_COLOR", no_color);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let Some(slave) = terminal else {
        return String::from_utf8(shmlock_tests::output(&mut command).unwrap().stderr).unwrap();
    };
    let mut child = shmlock_tests::start(command.stderr(slave)).unwrap();
    assert!(child.wait().unwrap().success());
    String::new()
}

/// Logs as the environment says; without it, tests nothing.
#[test]
fn the_process_that_logs() {
    let Ok(how) = std::env::var(TOLD) else { return };
    let logger = match how.as_str() {
        "default" => Logger::default(),
        "plain" => Logger::new("belt").colors(false),
        "loud" => Logger::new("belt")
            .level(LevelFilter::Debug)
            .format(|line| format!("{}!", line.message)),
        "forking" => return log_and_fork(),
        how => panic!("no such way to log: {how}"),
    };
    logger.install().unwrap();
    log::debug!("a detail");
    log::info!("a fact");
    log::warn!("a warning");
    log::error!("an error");
}

/// Logs by two threads without a pause, and one line by each child that is forked meanwhile.
fn log_and_fork() {
    let fixture = Fixture::new();
    let path = std::env::temp_dir().join(format!("shmlock-logger-{}.log", std::process::id()));
    Logger::new("belt").file(&path, LevelFilter::Info).install().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                // Partner: the store below. Relaxed: it only ends the loop.
                while !done.load(Relaxed) {
                    log::info!("a thread's");
                }
            });
        }
        for _ in 0..rounds(100) {
            fork(|_| log::warn!("a child's")).ends_well();
        }
        done.store(true, Relaxed); // partner: the loads above
    });
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let lines = text.lines().filter(|line| line.ends_with("WARN - a child's")).count();
    assert_eq!(lines as u64, rounds(100));
    assert!(
        text.lines().all(|line| line.ends_with("'s") && line.matches(" - belt - ").count() == 1),
        "lines are mixed"
    );
    drop(fixture);
}

#[test]
fn a_child_that_is_forked_while_other_threads_log_can_log_as_well() {
    let program = std::env::current_exe().unwrap();
    let mut command = shmlock_tests::command(program.to_str().unwrap());
    command.args(["the_process_that_logs", "--exact", "--nocapture"]).env(TOLD, "forking");
    let status = output(&mut command).unwrap().status;
    assert!(status.success(), "{status}");
}

#[test]
fn by_default_events_from_info_up_reach_standard_error_with_time_name_and_level() {
    let text = said("default", "", None);
    let lines: Vec<_> = text.lines().map(|line| line.split_once(" - ").unwrap()).collect();
    let without_time: Vec<_> = lines.iter().map(|(_, rest)| *rest).collect();
    assert_eq!(
        without_time,
        ["shmlock - INFO - a fact", "shmlock - WARN - a warning", "shmlock - ERROR - an error"]
    );
    assert!(lines.iter().all(|(time, _)| time.len() == 24 && time.ends_with('Z')), "{text}");
    assert_eq!(said("loud", "", None), "a detail!\na fact!\na warning!\nan error!\n");
}

#[test]
fn a_terminal_gets_colours_unless_no_color_is_set_and_a_pipe_never_does() {
    let on_a_terminal = |how, no_color| {
        let mut master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        said(how, no_color, Some(slave));
        let mut text = Vec::new();
        let _ = master.read_to_end(&mut text); // fails once the terminal is closed
        String::from_utf8(text).unwrap()
    };
    let coloured = on_a_terminal("default", "");
    assert!(
        coloured.contains("\x1b[33m") && coloured.contains("WARN - a warning\x1b[0m"),
        "{coloured:?}"
    );
    assert!(coloured.contains("\x1b[31m") && coloured.contains("INFO - a fact"), "{coloured:?}");
    for (how, no_color) in [("plain", ""), ("default", "1")] {
        let text = on_a_terminal(how, no_color);
        assert!(text.contains("a warning") && !text.contains('\x1b'), "{text:?}");
    }
    assert!(!said("default", "", None).contains('\x1b'));
}

#[test]
fn events_reach_the_file_at_its_own_level_and_in_the_format_asked_for() {
    let path = std::env::temp_dir().join(format!("shmlock-logger-{}.log", std::process::id()));
    let logger = Logger::new("conveyor").level(LevelFilter::Off).file(&path, LevelFilter::Debug);
    logger
        .clone()
        .format(|line| format!("<{}|{}|{}>", line.name, line.level, line.message))
        .install()
        .unwrap();
    assert!(logger.install().is_err(), "a process has one logger");

    let lock = ShmLock::builder(&format!("logger-{}", std::process::id()))
        .description("belt 7")
        .open()
        .unwrap();
    drop(lock.lock().unwrap());

    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let uuid = lock.uuid().to_string();
    for event in ["opened", "acquired", "released"] {
        let line = text
            .lines()
            .find(|line| line.contains(event))
            .unwrap_or_else(|| panic!("no {event} in {text}"));
        assert!(line.starts_with("<conveyor|DEBUG|") && line.contains(&uuid), "{line}");
    }
    assert!(text.contains("belt 7"), "{text}");
}

#[test]
fn a_log_file_that_cannot_be_opened_is_named() {
    let error =
        Logger::new("x").file("/nonexistent/x.log", LevelFilter::Debug).install().unwrap_err();
    assert!(error.to_string().contains("/nonexistent/x.log"), "{error}");
}
