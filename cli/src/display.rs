//! Formats text of other processes, and quantities.

use std::time::Duration;

/// Escapes unprintable characters: the text cannot move a terminal's cursor or begin a line.
pub(crate) fn escaped(text: &str) -> String {
    const QUOTES: [char; 2] = ['"', '\''];
    let mut escaped = String::with_capacity(text.len());
    for piece in text.split_inclusive(QUOTES) {
        let plain = piece.trim_end_matches(QUOTES);
        escaped.extend(plain.escape_debug());
        escaped.push_str(&piece[plain.len()..]); // quotes stay: the text is not quoted
    }
    escaped
}

/// Cuts the text to at most this many bytes; an ellipsis shows the cut.
pub(crate) fn shortened(text: &str, bytes: usize) -> String {
    const CUT: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes.saturating_sub(CUT.len())).rev().find(fits).unwrap_or(0);
    format!("{}{CUT}", &text[..end])
}

/// Formats a time as its two largest units.
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

/// Formats a time in seconds, with as many digits as it needs: "0.05 s".
pub(crate) fn in_seconds(time: Duration) -> String {
    let digits = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    format!("{} s", digits.trim_end_matches('0').trim_end_matches('.'))
}

pub(crate) fn yes_or_no(it_is: bool) -> &'static str {
    if it_is { "yes" } else { "no" }
}

/// Formats a number, or a dash if it is not known.
pub(crate) fn or_dash(number: Option<impl ToString>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// Escapes in JSON the characters that JSON allows and a terminal may obey.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut quiet = String::with_capacity(json.len());
    for char in json.chars() {
        // Outside of strings JSON has no such characters except line ends.
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
        assert_eq!(escaped("a\x1b[2Jb\nc\u{9b}d\u{202e}e"), "a\\u{1b}[2Jb\\nc\\u{9b}d\\u{202e}e");
        assert_eq!(escaped("it's \"belt 7\""), "it's \"belt 7\"");
        assert_eq!(escaped("größer"), "größer");
    }

    #[test]
    fn json_says_the_same_without_what_a_terminal_would_obey() {
        let text = "ü\x7f\u{9b}\u{202e}\u{1f512}\u{e0001}\"";
        let json = serde_json::to_string(text).expect("a string");
        let quiet = escaped_json(&json);
        assert!(
            quiet
                .chars()
                .all(|char| char == '"' || char.escape_debug().count() == 1 || char == '\\'),
            "{quiet}"
        );
        assert_eq!(serde_json::from_str::<String>(&quiet).expect("JSON"), text);
    }

    #[test]
    fn a_cut_shows_and_halves_no_character() {
        assert_eq!(shortened("sleep 1", 63), "sleep 1");
        assert_eq!(shortened("abcdef", 5), "ab…");
        assert_eq!(shortened("aüöä", 6), "aü…");
        assert_eq!(shortened("ü", 1), "…");
    }

    #[test]
    fn seconds_have_the_digits_that_they_need() {
        let seconds = [(0, 50_000_000), (10, 0), (1, 500_000_000), (0, 1)]
            .map(|(s, ns)| in_seconds(Duration::new(s, ns)));
        assert_eq!(seconds, ["0.05 s", "10 s", "1.5 s", "0.000000001 s"]);
    }

    #[test]
    fn a_span_has_two_units() {
        let spans =
            [0, 59, 60, 3599, 3600, 86399, 86400, 999_999].map(|s| span(Duration::from_secs(s)));
        assert_eq!(spans, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "11d13h"]);
    }
}
