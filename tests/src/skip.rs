//! Reports a test that is skipped.

use std::io::{Write, stderr};
use std::thread;

/// Reports that the running test is skipped, and why.
pub fn skipped(why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // Not by `eprintln`: the test framework shows that of failed tests only.
    let _ = writeln!(stderr(), "skipped: {test}: {why}");
}
