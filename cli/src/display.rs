//! Text that came from elsewhere, and quantities, for people.

use std::time::Duration;

/// As it may go to a terminal: what is not printable is escaped, and so cannot move a cursor or
/// begin a line.
pub(crate) fn shown(text: &str) -> String {
    const QUOTES: [char; 2] = ['"', '\''];
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(QUOTES) {
        let plain = piece.trim_end_matches(QUOTES);
        shown.extend(plain.escape_debug());
        shown.push_str(&piece[plain.len()..]); // as they are: nothing is quoted here
    }
    shown
}

/// At most this many bytes of it; what was cut shows.
pub(crate) fn shortened(text: &str, bytes: usize) -> String {
    const CUT: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes.saturating_sub(CUT.len())).rev().find(fits).unwrap_or(0);
    format!("{}{CUT}", &text[..end])
}

/// A time as its two largest units.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Seconds with as many digits as they need: "0.05 s".
pub(crate) fn seconds_of(time: Duration) -> String {
    let digits = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    format!("{} s", digits.trim_end_matches('0').trim_end_matches('.'))
}

pub(crate) fn yes(it_is: bool) -> &'static str {
    if it_is { "yes" } else { "no" }
}

/// A number, or that it is not known.
pub(crate) fn known(number: Option<impl ToString>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// JSON that may go to a terminal: what JSON allows as it is and a terminal may obey is escaped.
pub(crate) fn quiet_json(json: &str) -> String {
    let mut quiet = String::with_capacity(json.len());
    for char in json.chars() {
        // Outside of strings JSON has no such characters, but for the ends of lines.
        if char == '\n'
            || char.is_ascii() && !char.is_ascii_control()
            || char.escape_debug().count() == 1
        {
            quiet.push(char);
        } else {
            quiet
                .extend(char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{9b}d\u{202e}e"), "a\\u{1b}[2Jb\\nc\\u{9b}d\\u{202e}e");
        assert_eq!(shown("it's \"belt 7\""), "it's \"belt 7\"");
        assert_eq!(shown("größer"), "größer");
    }

    #[test]
    fn json_says_the_same_without_what_a_terminal_would_obey() {
        let text = "ü\x7f\u{9b}\u{202e}\u{1f512}\u{e0001}\"";
        let json = serde_json::to_string(text).expect("a string");
        let quiet = quiet_json(&json);
        assert!(
            quiet
                .chars()
                .all(|char| char == '"' || char.escape_debug().count() == 1 || char == '\\'),
            "{quiet}"
        );
        assert_eq!(serde_json::from_str::<String>(&quiet).expect("JSON"), text);
    }

    #[test]
    fn what_is_cut_shows_and_no_character_is_halved() {
        assert_eq!(shortened("sleep 1", 63), "sleep 1");
        assert_eq!(shortened("abcdef", 5), "ab…");
        assert_eq!(shortened("aüöä", 6), "aü…");
        assert_eq!(shortened("ü", 1), "…");
    }

    #[test]
    fn seconds_have_the_digits_that_they_need() {
        let seconds = [(0, 50_000_000), (10, 0), (1, 500_000_000), (0, 1)]
            .map(|(s, ns)| seconds_of(Duration::new(s, ns)));
        assert_eq!(seconds, ["0.05 s", "10 s", "1.5 s", "0.000000001 s"]);
    }

    #[test]
    fn a_span_has_two_units() {
        let spans =
            [0, 59, 60, 3599, 3600, 86399, 86400, 999_999].map(|s| span(Duration::from_secs(s)));
        assert_eq!(spans, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "11d13h"]);
    }
}
