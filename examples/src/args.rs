//! What stands on the command line? Options `--name value` or `--name=value`, read one after the
//! other.
//!
//! Every message names the option that is wrong and says what to do about it.

use std::env::ArgsOs;
use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The options that have not been read yet.
#[derive(Debug)]
pub struct Args {
    rest: ArgsOs,
    /// The value of the last option, if it was joined to it by `=`.
    joined: Option<String>,
}

impl Args {
    /// Those of this program.
    #[must_use]
    pub fn from_env() -> Self {
        let mut rest = std::env::args_os();
        rest.next(); // the program itself
        Self { rest, joined: None }
    }

    /// The next option, without its value.
    ///
    /// # Errors
    /// A message, if the value before it was not asked for, or if it is not Unicode.
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

    /// The value of `option`, which was read last.
    ///
    /// # Errors
    /// A message, if there is none.
    pub fn text(&mut self, option: &str) -> Result<String, String> {
        let value = match self.joined.take() {
            Some(value) => Some(value),
            None => self.word()?.filter(|word| !word.starts_with("--")),
        };
        value.ok_or_else(|| format!("{option} needs a value; write {option} VALUE"))
    }

    /// The value of `option`, a whole number in `range`.
    ///
    /// # Errors
    /// A message, if it is anything else.
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
