//! Tells of a loss at the moment of the own deadline, whatever the network does.
//!
//! It uses a timer of `CLOCK_BOOTTIME` (`timerfd_create(2)`). After a suspension the timer rings at
//! once; a sleep would go on for the time that was left. Other code of the process may close the
//! timer's descriptor, or put another file there. So the thread also wakes at each deadline by
//! itself, and a timer that rings too early is not waited for again at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
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
    pub(crate) fn is_empty(&self) -> bool {
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
    hold: Arc<Hold>,
    is_stopped: Arc<Mutex<bool>>,
}

impl Alarm {
    /// Starts the thread; without listeners there is nothing to tell and no thread.
    pub(crate) fn start(hold: &Arc<Hold>, listeners: &Listeners) -> Result<Option<Self>> {
        if listeners.is_empty() {
            return Ok(None);
        }
        let alarm = Self { hold: Arc::clone(hold), is_stopped: Arc::default() };
        let (hold, is_stopped) = (Arc::clone(hold), Arc::clone(&alarm.is_stopped));
        let listeners = listeners.clone();
        std::thread::Builder::new()
            .name("shmlock-fleet-a".into())
            .spawn(move || until_lost(&hold, &is_stopped, &listeners))
            .map_err(|source| Error::System { operation: "start the alarm of a lease", source })?;
        Ok(Some(alarm))
    }
}

impl Drop for Alarm {
    /// Returns once a call that has begun is over: no listener is told after the release.
    fn drop(&mut self) {
        *locked(&self.is_stopped) = true;
        self.hold.ring(); // the thread ends; without the ring at the deadline
    }
}

/// Tells of the loss once there is one; nothing if it is stopped before.
fn until_lost(hold: &Hold, is_stopped: &Mutex<bool>, listeners: &Listeners) {
    let mut has_rung = false;
    loop {
        {
            // Held while the listeners are told: the release waits for them.
            let is_stopped = locked(is_stopped);
            if *is_stopped {
                return;
            }
            if let Some(loss) = hold.loss() {
                return listeners.tell(loss);
            }
        }
        if has_rung {
            // For nothing: the descriptor is not ours any more. The deadline alone is left.
            std::thread::sleep(hold.left());
        }
        has_rung = wait(hold);
    }
}

/// Waits for the timer, until the present deadline at most. Returns `true` if it has rung: at a
/// deadline, after a loss, or for the release.
fn wait(hold: &Hold) -> bool {
    let Some(timer) = hold.timer() else { return true };
    let limit = Timespec::try_from(hold.left() + Duration::from_millis(1)).ok();
    match poll(&mut [PollFd::new(timer.descriptor(), PollFlags::IN)], limit.as_ref()) {
        Ok(rung) => rung > 0,
        Err(error) => error != Errno::INTR, // refused; as if the descriptor were not ours
    }
}

fn locked(mutex: &Mutex<bool>) -> MutexGuard<'_, bool> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
