//! What a handle keeps of a death before its hold.

use crate::holder::Recovered;

/// What a hold was told of a death when it began.
#[derive(Debug)]
pub(crate) struct DeathNotice {
    /// The hold's. The notice of another hold says nothing.
    pub(crate) fencing_token: u64,
    pub(crate) recovered: Recovered,
}
