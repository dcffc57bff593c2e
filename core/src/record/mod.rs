//! Defines the owner record: what an owner says about itself.
//!
//! The record is **advisory**: the owner writes it after it has acquired the word, and the protocol
//! does not depend on it. A reader gets it whole or not at all. Two words ensure that. The record's
//! *sequence* is odd while the record is being written, and different after every write. The
//! record's *token* names the owner that it describes. A record counts only if the owner word names
//! the same token before and after the read, and the sequence is even and the same.
//!
//! The owner word and the generation alone are not enough. Between the acquiring swap and the new
//! owner's first store, both stand still while the record is still the previous owner's.
//!
//! An owner that acquires again finds its own token in the record, and writes nothing but the
//! generation. *Since* is therefore the beginning of its unbroken series of holds, or the
//! last change of its description if that is later.

mod access;
pub(crate) mod encoded;

use core::fmt;

use uuid::Uuid;

use crate::error::Error;
use crate::layout::DESCRIPTION_MAX;
use crate::token::Token;

/// Text of at most [`DESCRIPTION_MAX`] bytes.
pub type Description = heapless::String<DESCRIPTION_MAX>;

/// Converts text to a [`Description`].
///
/// # Errors
/// [`Error::DescriptionTooLong`].
///
/// # Examples
/// ```
/// use shmlock_core::{Error, record::description};
///
/// assert_eq!(description("motor control")?.as_str(), "motor control");
/// assert_eq!(description(&"x".repeat(64)), Err(Error::DescriptionTooLong { len: 64 }));
/// # Ok::<(), Error>(())
/// ```
pub fn description(text: &str) -> Result<Description, Error> {
    Description::try_from(text).map_err(|()| Error::DescriptionTooLong { len: text.len() })
}

/// What an owner says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// Names the handle, for ever.
    pub uuid: Uuid,
    /// Process id, as seen in the owner's own pid namespace. 0 where there are no processes.
    pub pid: u32,
    /// Inode number of that namespace; 0 if unknown. A reader in another namespace must not use
    /// `pid`.
    pub pid_namespace: u32,
    /// Seconds of the boot-time clock at which the present unbroken series of holds began, or the
    /// description changed last.
    pub since: u64,
    /// The purpose, in the owner's words; empty if it gave none.
    pub description: Description,
}

/// The owner of a lock and its record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The token in the owner word.
    pub token: Token,
    /// The owner's record. `None` if it was not written yet, or changed during the whole read.
    pub record: Option<Record>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(record) = &self.record else {
            return write!(f, "token {} (its record is not readable)", self.token);
        };
        write!(f, "pid {}, uuid {}", record.pid, record.uuid)?;
        if !record.description.is_empty() {
            // Escaped: the bytes are another process's, and this text goes to terminals.
            write!(f, ", \"{}\"", record.description.escape_debug())?;
        }
        Ok(())
    }
}

// By hand: the foreign types in here have no `defmt` of this version. The text is not escaped: it
// may be hostile, and the host that prints it has to escape it.
#[cfg(feature = "defmt")]
impl defmt::Format for Record {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (uuid, description) = (self.uuid.as_bytes(), self.description.as_str());
        defmt::write!(
            f,
            "pid {=u32}, uuid {=[u8; 16]:02x}, since {=u64} s, {=str}",
            self.pid,
            *uuid,
            self.since,
            description
        );
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Holder {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}: {}", self.token, self.record);
    }
}
