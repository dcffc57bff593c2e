//! How far is it? One line on a terminal, which the next one replaces; nothing where nobody
//! watches.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

/// The line. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    all: usize,
    done: usize,
    begin: Instant,
    is_watched: bool,
}

impl Progress {
    /// Of so many steps, none of which has begun.
    pub(crate) fn of(all: usize) -> Self {
        Self { all, done: 0, begin: Instant::now(), is_watched: stderr().is_terminal() }
    }

    /// Says which step begins now; the one before is over.
    pub(crate) fn begins(&mut self, label: &str) {
        if self.is_watched {
            let line = line(self.done, self.all, self.begin.elapsed(), label);
            eprint!("\r\x1b[K{}", line.chars().take(width() - 1).collect::<String>()); // a longer one would scroll
        }
        self.done += 1;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_watched {
            eprint!("\r\x1b[K");
        }
    }
}

fn width() -> usize {
    // Some terminals do not know, or say 0.
    tcgetwinsize(stderr()).map_or(80, |size| usize::from(size.ws_col).max(2))
}

/// The steps take unequal time, but every round has the same ones.
fn line(done: usize, all: usize, passed: Duration, label: &str) -> String {
    let left = passed.as_millis() * (all - done.min(all)) as u128 / (done.max(1) as u128) / 1000;
    let left = if done * 20 < all { String::new() } else { format!(", about {left} s to go") };
    format!("{:3} %{left}: {label}", 100 * done / all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_estimated_once_there_is_something_to_estimate_by() {
        assert_eq!(line(1, 100, Duration::from_secs(1), "first"), "  1 %: first");
        assert_eq!(line(25, 100, Duration::from_secs(10), "C"), " 25 %, about 30 s to go: C");
        assert_eq!(line(0, 0, Duration::ZERO, "nothing"), "  0 %, about 0 s to go: nothing");
    }
}
