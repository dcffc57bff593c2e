//! The operations of which a plan consists.

use std::time::Duration;

/// One thing to do.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Take a lock, be inside, give it back.
    Visit(Visit),
    /// Drop the handle, if it is open.
    Close(usize),
    /// Look at a lock as a bystander.
    Look(usize, Make),
    /// Begin a section in this thread and end it in another.
    HandOver(Visit),
    /// Two threads, each with a handle of its own, so often.
    Crowd(Visit, u8),
    /// A child that must not use what it inherited, and does this. Whether it drops the handles,
    /// and is waited for.
    Fork { visits: Vec<Visit>, drops: bool, waits: bool },
    /// Leak a guard and drop the handle; so often.
    Leak(Visit, u8),
    /// Acquire without a guard and drop the handle, which gives the lock back.
    DropHeld(Visit),
    /// Wait for the others of the same role, and then take the lock together with them. A wake that
    /// is lost now is not made up for by whoever comes next: nobody comes before all have been
    /// inside.
    Meet(Visit),
    /// Set the exit event, and clear it a moment later.
    SetExitEvent(Duration),
    /// The last operation.
    End(End),
}

/// How a process ends by itself. Where a visit is given: half-way through its section.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Return,
    Exit(Option<Visit>),
    AtOnce(Option<Visit>),
    Abort(Option<Visit>),
    Exec(Option<Visit>),
}

/// One section.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
pub(crate) struct Visit {
    pub(crate) lock: usize,
    pub(crate) make: Make,
    pub(crate) way: Way,
    pub(crate) hold: Hold,
    pub(crate) give: Give,
    /// How often the same handle takes the lock again meanwhile.
    pub(crate) depth: u8,
    /// Whether a second handle of the same thread tries to.
    pub(crate) twice: bool,
    /// Whether the description is set again inside.
    pub(crate) describe: bool,
    /// Whether data after a death is declared consistent.
    pub(crate) declare: bool,
    /// A lock that is taken inside, always a later one: so nobody waits in a circle.
    pub(crate) inner: Option<usize>,
    /// Whether the handle stays open.
    pub(crate) keep: bool,
}

/// How a handle is made.
#[derive(Clone, Debug)]
pub(crate) struct Make {
    pub(crate) interval: Duration,
    pub(crate) sleeps: bool,
    pub(crate) event: bool,
    pub(crate) blocks: Blocks,
}

/// When a handle holds signals back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blocks {
    Never,
    Transitions,
    WhileHeld,
}

/// How to take a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Wait,
    Try,
    For(Duration),
    Until(Duration),
}

/// How long to stay inside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    Nothing,
    Yield(u8),
    Spin(u32),
    Sleep(Duration),
}

/// How to give a lock back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Give {
    Drop,
    Release,
    /// By force, and then once more by the guard, which must be refused.
    Force,
}
