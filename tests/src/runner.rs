//! How to start a program of our own target, where an emulator has to be named to do so.

use std::process::Command;

/// A command that runs `program`, prefixed by cargo's runner of our target if there is one.
///
/// `execve(2)` of an emulated program works only where the machine has registered the emulator for it; the runner is
/// what started this very test.
pub(crate) fn command(program: &str) -> Command {
    let target = env!("SHMLOCK_TESTS_TARGET").to_uppercase().replace(['-', '.'], "_");
    let runner = std::env::var(format!("CARGO_TARGET_{target}_RUNNER")).unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(first) = words.next() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(words).arg(program);
    command
}
