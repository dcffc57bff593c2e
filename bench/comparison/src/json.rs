//! Writes lines of JSON: the machine, then one line for each figure, contender and round.

use std::fmt::Write;

use crate::figures::Figure;
use crate::machine::Machine;
use crate::results::Entries;

/// Returns the line about the machine.
pub(crate) fn head(machine: &Machine) -> String {
    let Machine { kernel, processor, cores, load, others } = machine;
    let [kernel, processor, load] = [kernel, processor, load].map(|text| quoted(text));
    let others = number(*others);
    format!(
        "{{\"kernel\":{kernel},\"processor\":{processor},\"cores\":{cores},\
         \"load\":{load},\"others\":{others}}}\n"
    )
}

/// Returns the lines of one figure.
pub(crate) fn lines(figure: Figure, entries: &Entries) -> String {
    let mut text = String::new();
    for entry in &entries.list {
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            text,
            "{{\"figure\":{},\"contender\":{}",
            quoted(&figure.title()),
            quoted(entry.kind.label())
        );
        let _ = write!(text, ",\"round\":{},\"lost\":{}", entry.round, entry.measured.lost);
        let _ = write!(text, ",\"reference\":{}", quoted(entries.reference.label()));
        let ratio = entries.ratio(entry).filter(|ratio| ratio.is_finite());
        let _ = write!(text, ",\"ratio\":{}", number(ratio.unwrap_or(f64::NAN)));
        if let Some(reason) = &entry.measured.skipped {
            let _ = write!(text, ",\"skipped\":{}", quoted(reason));
        }
        for ((name, _), value) in figure.metrics().iter().zip(&entry.measured.values) {
            let _ = write!(text, ",{}:{}", quoted(name), number(*value));
        }
        text.push_str("}\n");
    }
    text
}

/// Quotes a string. Control characters are left out.
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|character| !character.is_control()).collect();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Formats a number. NaN, which JSON lacks, is `null`; infinity is `"never"`.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => quoted("never"),
        value if value.is_finite() => value.to_string(),
        _ => "null".to_owned(),
    }
}
