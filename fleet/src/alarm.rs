//! Tells of a loss at the moment of the own deadline, whatever the network does.
//!
//! It uses a timer of `CLOCK_BOOTTIME` (`timerfd_create(2)`). After a suspension the timer rings at
//! once; a sleep would go on for the time that was left.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, write};
use shmlock::ExitEvent;

use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::loss::Loss;

/// A function that is told of a loss.
pub(crate) type OnLoss = Arc<dyn Fn(Loss) + Send + Sync>;

/// The event and the function that are told of a loss.
#[derive(Clone, Default)]
pub(crate) struct Listeners {
    pub(crate) event: Option<ExitEvent>,
    pub(crate) callback: Option<OnLoss>,
}

impl Listeners {
    fn is_empty(&self) -> bool {
        self.event.is_none() && self.callback.is_none()
    }

    fn tell(&self, loss: Loss) {
        if let Some(event) = &self.event {
            let _ = event.set(); // fails in a forked child only, which has no such thread
        }
        if let Some(callback) = &self.callback {
            callback(loss);
        }
    }
}

/// The thread that waits for the timer.
pub(crate) struct Alarm {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Alarm {
    /// Starts the thread; without listeners there is nothing to tell and no thread.
    pub(crate) fn start(hold: &Arc<Hold>, listeners: &Listeners) -> Result<Option<Self>> {
        if listeners.is_empty() {
            return Ok(None);
        }
        let failed = |source| Error::System { operation: "start the alarm of a lease", source };
        let stop =
            Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?);
        let (hold, listeners, stopped) = (Arc::clone(hold), listeners.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("shmlock-fleet-a".into())
            .spawn(move || {
                if let Some(loss) = until_lost(&hold, &stopped) {
                    listeners.tell(loss);
                }
            })
            .map_err(failed)?;
        Ok(Some(Self { stop, thread: Some(thread) }))
    }
}

impl Drop for Alarm {
    /// Returns once the thread has ended: no listener is told after the release.
    fn drop(&mut self) {
        let _ = write(&*self.stop, &1_u64.to_ne_bytes()); // an eventfd at 0 has room
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of the callback was reported by its thread
        }
    }
}

/// Returns the loss once there is one; `None` if it is stopped before.
fn until_lost(hold: &Hold, stop: &OwnedFd) -> Option<Loss> {
    loop {
        if let Some(loss) = hold.loss() {
            return Some(loss);
        }
        let mut events = [
            PollFd::new(hold.timer().descriptor(), PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut events, None) {
            Ok(_) if events[1].revents().is_empty() => {}
            Err(Errno::INTR) => {}
            // Stopped; or poll(2) is refused, and the holder has to ask `is_lost`.
            Ok(_) | Err(_) => return None,
        }
    }
}
