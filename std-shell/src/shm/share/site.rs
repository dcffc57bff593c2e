//! Keeps an attachment that handles share, with the tokens that it vouches for.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::tokens::TokenBlock;
use crate::error::Result;
use crate::shm::attach::Attachment;
use crate::shm::file::FileSpec;
use crate::sys::descriptor::Descriptor;
use crate::sys::fork_gate::NoForkGuard;

/// An attachment and the tokens that it vouches for.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) attachment: Attachment,
    pub(super) tokens: TokenBlock,
    /// Counts the handles that have an attachment of their own.
    _alone: Option<Arc<()>>,
}

impl Site {
    pub(super) fn new(attachment: Attachment, tokens: TokenBlock, alone: Option<Arc<()>>) -> Self {
        Self { attachment, tokens, _alone: alone }
    }

    /// Returns `true` if the name leads to our file, which is whole and one that an opener accepts.
    /// Four system calls. Our presence keeps the file.
    pub(super) fn is_named_by(&self, place: &FileSpec) -> Result<bool> {
        let _no_fork = NoForkGuard::begin(); // no code of a child would close its copy
        let Some(fd) = place.open()? else { return Ok(false) };
        let (mut seen, stat) =
            Descriptor::with_stat(fd).map_err(|errno| place.system("inspect", errno))?;
        let fd = seen.as_fd();
        let is_ours = seen.identity() == self.attachment.identity() && stat.st_nlink != 0;
        let judged = place.judge(fd, &stat).and_then(|()| {
            // A lock that a peer has truncated must be refused or completed before it is touched.
            let is_whole = is_ours && {
                place.check_size(fd, &stat)?;
                place.is_memory_proven(&stat, place.check_magic(fd)?)
            };
            Ok(is_whole)
        });
        if judged.is_err() && !seen.is_itself() {
            return Ok(false); // perhaps the error is of another file
        }
        seen.close_as_seen();
        judged
    }
}
