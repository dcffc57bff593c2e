//! Has the kernel close a file after everything else that a dying process leaves.
//!
//! The kernel queues what a dying thread gives up, and closes the youngest first: its descriptors,
//! then the mappings of the process, if it is the last thread to leave them. So a descriptor whose
//! close takes milliseconds delays the unlock of each byte lock that hangs on a mapping.
//!
//! A reference in an unread message (`unix(7)`, `SCM_RIGHTS`) goes only when the socket is closed.
//! It is queued then, behind all of the above.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};

use crate::sys::private_files::{PrivateFd, PrivateFiles};

/// Two sockets, and a reference to the file in a message between them.
#[derive(Debug)]
pub(crate) struct ClosedLast {
    _sockets: [PrivateFd; 2],
}

impl ClosedLast {
    /// Sends the reference, between sockets in the table of this thread.
    ///
    /// # Errors
    /// A sandbox knows no sockets, or a limit is reached: then the file is closed when its
    /// descriptors are.
    pub(crate) fn new(file: impl AsFd, files: &PrivateFiles) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (to, from) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        let sockets = [to, from].map(|socket| files.own(socket).out_of_the_way());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        let references = [file.as_fd()];
        message.push(SendAncillaryMessage::ScmRights(&references));
        let bytes = [IoSlice::new(&[0])];
        retry_on_intr(|| sendmsg(&sockets[0], &bytes, &mut message, SendFlags::NOSIGNAL))?;
        Ok(Self { _sockets: sockets })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::ClosedLast;
    use crate::sys::private_files::in_own_table;
    use crate::sys::sleep::timespec;

    #[test]
    fn the_file_is_open_until_the_sockets_are_closed() {
        in_own_table(|files| {
            let (end, file) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
            let is_closed_within = |time| {
                let mut polled = [PollFd::new(&end, PollFlags::IN)];
                poll(&mut polled, Some(&timespec(time))).expect("poll") == 1
            };
            let kept = ClosedLast::new(&file, files).expect("sockets");
            drop(file);
            assert!(!is_closed_within(Duration::ZERO));
            drop(kept);
            assert!(is_closed_within(Duration::from_secs(60)), "a reference is left");
        });
    }
}
