//! Registers the waits of this process with its watch thread.

use std::sync::Arc;
use std::time::Duration;

use crate::shm::attach::Attachment;
use crate::sys::fork::ProcessGeneration;
use crate::sys::spare_memory::can_map;
use crate::watch::hub::{HUB, Hub};
use crate::watch::thread::watch;
use crate::watch::watched::{Cover, Watched};

/// What must be there to register a file: memory for a thread, and for what it allocates. Without
/// it the standard library would end the process. The waiter polls instead.
const MEMORY: usize = 1 << 20;

/// The answer to a registration.
#[derive(Debug)]
pub(crate) enum Joined {
    Registered(Registration),
    /// Not at this moment: another thread has the list.
    Busy,
    /// There is no watch thread, or the file is not watched.
    Not,
}

/// A registered wait. Its drop ends it, without a system call: the waiter has the lock, and others
/// wait for it. The thread notices at its next event or tick.
#[derive(Debug)]
pub(crate) struct Registration {
    watched: Arc<Watched>,
    /// The process that registered it.
    birth: ProcessGeneration,
    /// Its file was not registered before.
    is_first: bool,
}

/// Returns `true` if this process has a hub, or the memory for one.
pub(super) fn has_memory() -> bool {
    HUB.get().is_some() || can_map(MEMORY)
}

/// Registers a wait for the file of `shared`; starts the thread if there is none.
pub(crate) fn register(shared: &Attachment, interval: Duration) -> Joined {
    if !has_memory() {
        return Joined::Not;
    }
    let hub = HUB.get_or_make(Hub::default);
    let Some(mut state) = hub.try_lock() else { return Joined::Busy };
    // A signal handler may have forked meanwhile, and this may be the child.
    if !shared.birth().is_here() {
        return Joined::Not;
    }
    if let Some(watched) = state.find(shared.identity(), interval) {
        return Joined::Registered(Registration::of(watched, shared, false));
    }
    if !can_map(MEMORY) || !state.start_thread(hub, watch) {
        return Joined::Not;
    }
    let watched = Watched::new(shared.identity(), shared.place().clone());
    let watched = state.add(watched, interval);
    hub.ring_while(&state);
    Joined::Registered(Registration::of(watched, shared, true))
}

/// Registers a wait if the file is registered already. Makes no system call.
pub(crate) fn join(shared: &Attachment, interval: Duration) -> Joined {
    let Some(hub) = HUB.get() else { return Joined::Not };
    let Some(state) = hub.try_lock() else { return Joined::Busy };
    match state.find(shared.identity(), interval) {
        Some(watched) => Joined::Registered(Registration::of(watched, shared, false)),
        None => Joined::Not,
    }
}

impl Registration {
    fn of(watched: Arc<Watched>, shared: &Attachment, is_first: bool) -> Self {
        Self { watched, birth: shared.birth(), is_first }
    }

    /// Returns `true` for the wait with which the watch of its file begins in this process.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    pub(crate) fn cover(&self) -> Cover {
        self.watched.cover()
    }

    /// Has the thread look for a free slot, after a wake that did not bring the lock: it may have
    /// been meant to recruit. `is_vain`: the lock has not changed hands, so it most likely was.
    pub(crate) fn look_for_slot(&self, is_vain: bool) {
        if self.watched.ask_for_slot(is_vain) {
            ring();
        }
    }
}

/// Has the thread look at what it is asked for. If another thread has the list, it does so at its
/// next tick.
fn ring() {
    if let Some(hub) = HUB.get() {
        if let Some(state) = hub.try_lock() {
            hub.ring_while(&state);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.birth.is_here() {
            self.watched.end_wait();
        } else {
            // A forked child: never freed, for the allocator may be in use there.
            std::mem::forget(Arc::clone(&self.watched));
        }
    }
}
