//! Defines the operations of which a plan consists.

use std::time::Duration;

/// One operation.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Acquires a lock, executes a critical section, releases.
    Visit(Visit),
    /// Drops the handle, if it is open.
    Close(usize),
    /// Inspects a lock without acquiring it.
    Look(usize, Make),
    /// Begins a critical section in this thread and ends it in another.
    HandOver(Visit),
    /// Contends by two threads, each with a handle of its own, so often.
    Crowd(Visit, u8),
    /// Forks a child that must not use what it inherited, and makes these visits. It drops the
    /// inherited handles or not, and is waited for or not.
    Fork { visits: Vec<Visit>, drops: bool, waits: bool },
    /// Forks a child that is hindered, and makes these visits. Each of its waits has a timeout.
    Hinder(Hindrance, Vec<Visit>),
    /// Leaks a guard and drops the handle, so often.
    Leak(Visit, u8),
    /// Acquires without a guard and drops the handle, which releases the lock.
    DropHeld(Visit),
    /// Waits for the others of the same role, and then acquires together with them. A later visitor
    /// cannot make up for a wake that is lost here: none comes before all are done. With `recalls`
    /// the worker acquires once more right after its release, and makes waiters give up meanwhile.
    Meet { visit: Visit, recalls: bool },
    /// Sets the exit event, and clears it a moment later.
    SetExitEvent(Duration),
    /// Ends the process.
    End(End),
}

/// What the kernel does to calls of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hindrance {
    /// Once it has opened the locks, it can lock no byte, as if a rival were always faster. So it
    /// proves no death, and must not recover a lock.
    Refused,
    /// Each of its calls about files and byte locks takes so long. So much happens between its
    /// question whether an owner lives and its attempt to lock the owner's byte.
    Slow(Duration),
}

/// The way in which a process ends by itself. Where a visit is given: in the middle of its critical
/// section.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Return,
    Exit(Option<Visit>),
    AtOnce(Option<Visit>),
    Abort(Option<Visit>),
    Exec(Option<Visit>),
}

/// One critical section.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
pub(crate) struct Visit {
    pub(crate) lock: usize,
    pub(crate) make: Make,
    pub(crate) way: Way,
    pub(crate) hold: Hold,
    pub(crate) give: Give,
    /// The number of times that the same handle acquires the lock again meanwhile.
    pub(crate) depth: u8,
    /// `true` if a second handle of the same thread tries the lock meanwhile.
    pub(crate) twice: bool,
    /// `true` if the description is set again inside.
    pub(crate) describe: bool,
    /// `true` if data after a death is declared consistent.
    pub(crate) declare: bool,
    /// A lock that is acquired inside, always a later one, so that no cycle of waiters arises.
    pub(crate) inner: Option<usize>,
    /// `true` if the handle stays open.
    pub(crate) keep: bool,
}

/// The options of a handle.
#[derive(Clone, Debug)]
pub(crate) struct Make {
    pub(crate) interval: Duration,
    pub(crate) sleeps: bool,
    pub(crate) event: bool,
    pub(crate) blocks: Blocks,
    /// `true` if the handle leaves the lock to no waiter that it wakes.
    pub(crate) barges: bool,
}

/// When a handle blocks signals.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blocks {
    Never,
    Transitions,
    WhileHeld,
}

/// The way of acquiring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Wait,
    Try,
    For(Duration),
    Until(Duration),
}

/// The length of a critical section.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    Nothing,
    Yield(u8),
    Spin(u32),
    Sleep(Duration),
}

/// The way of releasing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Give {
    Drop,
    Release,
    /// By force. The guard ends later, in the handle's next hold if the lock is free, and must
    /// release nothing. It is dropped, or released for the error.
    Force {
        drops: bool,
    },
}
