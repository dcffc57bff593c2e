//! The ready-made logger: a process has one, so one test sees to all of it.

#![cfg(feature = "logger")]

use std::fs;

use log::LevelFilter;
use shmlock::{Logger, ShmLock};

#[test]
fn events_reach_the_file_at_its_own_level_and_in_the_format_asked_for() {
    let path = std::env::temp_dir().join(format!("shmlock-logger-{}.log", std::process::id()));
    let logger = Logger::new("conveyor").level(LevelFilter::Off).file(&path, LevelFilter::Debug);
    logger.clone().format(|line| format!("<{}|{}|{}>", line.name, line.level, line.message)).install().unwrap();
    assert!(logger.install().is_err(), "a process has one logger");

    let lock = ShmLock::builder(&format!("logger-{}", std::process::id())).description("belt 7").open().unwrap();
    drop(lock.lock().unwrap());

    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let uuid = lock.uuid().to_string();
    for event in ["opened", "acquired", "releasing"] {
        let line = text.lines().find(|line| line.contains(event)).unwrap_or_else(|| panic!("no {event} in {text}"));
        assert!(line.starts_with("<conveyor|DEBUG|") && line.contains(&uuid), "{line}");
    }
    assert!(text.contains("belt 7"), "{text}");
}

#[test]
fn a_log_file_that_cannot_be_opened_is_named() {
    let error = Logger::new("x").file("/nonexistent/x.log", LevelFilter::Debug).install().unwrap_err();
    assert!(error.to_string().contains("/nonexistent/x.log"), "{error}");
}
