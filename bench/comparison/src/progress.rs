//! Shows the progress in one line of a terminal. Prints nothing if standard error is no terminal.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

/// The line. The drop clears it.
#[derive(Debug)]
pub(crate) struct Progress {
    all: usize,
    done: usize,
    begin: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Makes a line for this many steps.
    pub(crate) fn of(all: usize) -> Self {
        Self { all, done: 0, begin: Instant::now(), is_terminal: stderr().is_terminal() }
    }

    /// Shows the label of the step that begins; the previous step is done.
    pub(crate) fn begins(&mut self, label: &str) {
        if self.is_terminal {
            let line = line(self.done, self.all, self.begin.elapsed(), label);
            let line: String = line.chars().take(width() - 1).collect(); // no scrolling
            eprint!("\r\x1b[K{line}");
        }
        self.done += 1;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn width() -> usize {
    // Some terminals do not know their width, or report 0.
    tcgetwinsize(stderr()).map_or(80, |size| usize::from(size.ws_col).max(2))
}

/// Returns the text. The steps take unequal time, but every round has the same steps.
fn line(done: usize, all: usize, passed: Duration, label: &str) -> String {
    let left = passed.as_millis() * (all - done.min(all)) as u128 / (done.max(1) as u128) / 1000;
    let left = if done * 20 < all { String::new() } else { format!(", about {left} s to go") };
    format!("{:3} %{left}: {label}", 100 * done / all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_is_shown_after_a_twentieth_of_the_steps() {
        assert_eq!(line(1, 100, Duration::from_secs(1), "first"), "  1 %: first");
        assert_eq!(line(25, 100, Duration::from_secs(10), "C"), " 25 %, about 30 s to go: C");
        assert_eq!(line(0, 0, Duration::ZERO, "nothing"), "  0 %, about 0 s to go: nothing");
    }
}
