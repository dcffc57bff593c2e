//! Reads the options of a command line, `--name value` or `--name=value`, in order.
//!
//! Every message names the wrong option and the remedy.

use std::env::ArgsOs;
use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The options that are still unread.
#[derive(Debug)]
pub struct Args {
    rest: ArgsOs,
    /// The value of the last option, if `=` joined it to the name.
    joined: Option<String>,
}

impl Args {
    /// Returns the options of this program.
    #[must_use]
    pub fn from_env() -> Self {
        let mut rest = std::env::args_os();
        rest.next(); // the program itself
        Self { rest, joined: None }
    }

    /// Reads the next option without its value.
    ///
    /// # Errors
    /// A message, if the previous option takes no value and has one, or if the text is not UTF-8.
    pub fn option(&mut self) -> Result<Option<String>, String> {
        if let Some(value) = self.joined.take() {
            return Err(format!(
                "the value {value:?} belongs to an option that takes none; leave it out"
            ));
        }
        let Some(argument) = self.word()? else { return Ok(None) };
        match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                self.joined = Some(value.to_owned());
                Ok(Some(option.to_owned()))
            }
            _ => Ok(Some(argument)),
        }
    }

    /// Reads the value of `option`, the last option read.
    ///
    /// # Errors
    /// A message, if there is no value.
    pub fn text(&mut self, option: &str) -> Result<String, String> {
        let value = match self.joined.take() {
            Some(value) => Some(value),
            None => self.word()?.filter(|word| !word.starts_with("--")),
        };
        value.ok_or_else(|| format!("{option} needs a value; write {option} VALUE"))
    }

    /// Reads the value of `option` as a whole number in `range`.
    ///
    /// # Errors
    /// A message, if the value is anything else.
    pub fn number<T>(&mut self, option: &str, range: RangeInclusive<T>) -> Result<T, String>
    where
        T: FromStr + PartialOrd + Display,
    {
        let text = self.text(option)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            format!(
                "{option} cannot be {text:?}; give a whole number from {} to {}",
                range.start(),
                range.end()
            )
        })
    }

    fn word(&mut self) -> Result<Option<String>, String> {
        let word = self.rest.next().map(OsString::into_string).transpose();
        word.map_err(|word| format!("{word:?} is not valid UTF-8; use other characters"))
    }
}
