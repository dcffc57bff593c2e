//! Brings messages to the thread of a contender.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::etcd::Watched;

/// A message.
pub(crate) enum Message {
    /// The watch of this number has ended.
    Watched(u64, Watched),
    /// The contender is to leave.
    Leave(Leave),
}

/// Why a contender is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The caller's patience has ended.
    TimedOut,
    /// The exit event is set.
    Cancelled,
    /// The lock is released.
    Released,
}

/// The messages for one thread.
pub(crate) struct Inbox {
    sender: Sender<Message>,
    receiver: Receiver<Message>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }

    pub(crate) fn sender(&self) -> Sender<Message> {
        self.sender.clone()
    }

    /// Waits for a message, for `limit` at most; `None` after it.
    pub(crate) fn next(&self, limit: Duration) -> Option<Message> {
        // Never disconnected: this inbox has a sender itself.
        self.receiver.recv_timeout(limit).ok()
    }
}
