//! Parses the words of a command.

use std::time::Duration;

pub(crate) fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

pub(crate) fn millis(text: &str) -> Duration {
    Duration::from_secs_f64(number::<f64>(text) / 1_000.0)
}
