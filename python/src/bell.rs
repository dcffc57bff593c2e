//! An eventfd that ends the sleep of a thread or of an event loop.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// Rings for the thread that polls it.
pub(crate) struct Bell {
    pub(crate) descriptor: OwnedFd,
    /// It has rung for an exit event.
    is_called: AtomicBool,
}

/// What has ended a sleep.
pub(crate) enum Ended {
    Rang,
    TimedOut,
    /// A signal, or an error of poll(2).
    Otherwise,
}

impl Bell {
    pub(crate) fn new() -> Result<Arc<Self>, Errno> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Self { descriptor, is_called: AtomicBool::new(false) }))
    }

    /// Rings for an exit event, which is set.
    pub(crate) fn call(&self) {
        // Relaxed: the kernel orders it before the end of the sleep, and the event has a lock of
        // its own. Partner: `take_call`.
        self.is_called.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// Returns `true` if it has rung for an exit event since the last call.
    pub(crate) fn take_call(&self) -> bool {
        // Partner: `call`. Relaxed: as there.
        self.is_called.swap(false, Ordering::Relaxed)
    }

    fn ring(&self) {
        // It fails only if the counter is full: then the sleep ends anyway.
        let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
    }

    /// Returns `true` if it has rung since the last call. Before the future is polled, so that no
    /// wake is lost.
    pub(crate) fn has_rung(&self) -> bool {
        rustix::io::read(&self.descriptor, &mut [0; 8]).is_ok()
    }

    /// Sleeps until it rings, for `time` at most, and until a signal comes.
    pub(crate) fn sleep(&self, time: Duration) -> Ended {
        let time = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], Some(&time)) {
            Ok(0) => Ended::TimedOut,
            Ok(_) => Ended::Rang,
            Err(_) => Ended::Otherwise,
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
