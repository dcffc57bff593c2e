//! Starts programs of the test's target, by an emulator where the target needs one.

use std::process::Command;

/// Returns a command that runs `program`, prefixed by cargo's runner of the target if there is one.
///
/// `execve(2)` of an emulated program works only where the machine has registered the emulator for
/// it; the runner is what started this very test.
#[must_use]
pub fn command(program: &str) -> Command {
    let target = env!("SHMLOCK_TESTS_TARGET").to_uppercase().replace(['-', '.'], "_");
    let runner = std::env::var(format!("CARGO_TARGET_{target}_RUNNER")).unwrap_or_default();
    let Some(mut command) = of_words(&runner) else { return Command::new(program) };
    command.arg(program);
    command
}

/// Returns a command of the first word, with the others as its arguments; `None` if there is none.
pub(crate) fn of_words(words: &str) -> Option<Command> {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next()?);
    command.args(words);
    Some(command)
}
