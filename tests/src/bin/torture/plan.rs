//! What a worker is going to do: a list of operations that follows from a seed, a seat and a number, and
//! from nothing else.
//!
//! Everything random is drawn here, before it happens. When things happen, and so who meets whom,
//! is up to the kernel's scheduler and cannot be repeated; what everybody sets out to do can.

use std::time::Duration;

use fastrand::Rng;

use crate::memory::SLOTS;

/// Handles on it are kept for long.
pub(crate) const BUSY: usize = 0;
/// Handles on it are kept sometimes.
pub(crate) const KEPT: usize = 1;
/// Opened and closed around each section: its file comes and goes all the time.
pub(crate) const BRIEF: usize = 2;
/// Nearly all its tokens are taken, so that those of the dead are given away at once. See
/// `token_exhaustion.rs`.
pub(crate) const NARROW: usize = 3;
/// Some of its contenders have static tokens. See `fixed.rs`.
pub(crate) const MIXED: usize = 4;
/// Nobody who uses it is killed, and nobody looks by himself: whoever is not woken waits for ever.
pub(crate) const WAKING: usize = 5;

/// What sort of worker sits on a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// May be killed at any instruction.
    Mortal,
    /// Uses the lock [`WAKING`], with a poll interval that no run outlasts. May be stopped now and
    /// then; not always, for whoever is let go on looks at the word again, and so does not need the
    /// wake that it may have missed.
    Wakeful,
    /// Uses the lock [`MIXED`] by a static token, whose owner cannot be proven dead. May be
    /// stopped.
    Fixed,
    /// Keeps tokens scarce on the lock [`NARROW`]. May be stopped.
    TokenExhaustion,
}

impl Role {
    pub(crate) fn of(seat: usize) -> Self {
        const LAST: usize = SLOTS - 1;
        match seat {
            LAST => Self::TokenExhaustion,
            14 => Self::Fixed,
            10..14 => Self::Wakeful,
            _ => Self::Mortal,
        }
    }

    /// The locks that it uses.
    pub(crate) fn locks(self) -> &'static [usize] {
        match self {
            Self::Mortal => &[BUSY, KEPT, BRIEF, NARROW, MIXED],
            Self::Wakeful => &[WAKING],
            Self::Fixed => &[MIXED],
            Self::TokenExhaustion => &[NARROW],
        }
    }
}

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

/// The operations of one process.
pub(crate) struct Plan {
    rng: Rng,
    role: Role,
    ended: bool,
    /// Whether the process installs the exit handlers.
    pub(crate) handlers: bool,
}

impl Plan {
    /// The plan of the `nth` process on this seat.
    pub(crate) fn new(seed: u64, seat: usize, nth: u64) -> Self {
        // Any odd numbers: they keep neighbouring seats and processes apart.
        let own = seed
            ^ (seat as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ nth.wrapping_mul(0xd1b5_4a32_d192_ed03);
        let mut rng = Rng::with_seed(own);
        let handlers = rng.bool();
        Self { rng, role: Role::of(seat), ended: false, handlers }
    }

    fn mortal(&mut self) -> Operation {
        let lock = self.rng.usize(..WAKING);
        match self.rng.u32(..1000) {
            0..700 => Operation::Visit(self.visit()),
            700..760 => Operation::Close(lock),
            760..830 => Operation::Look(lock, self.make()),
            830..860 => Operation::HandOver(self.visit()),
            860..890 => Operation::Crowd(self.visit(), self.rng.u8(1..20)),
            890..915 => {
                let visits = (0..self.rng.usize(..8)).map(|_| self.visit()).collect();
                Operation::Fork { visits, drops: self.rng.bool(), waits: self.rng.bool() }
            }
            915..930 => Operation::Leak(self.visit(), 1),
            // The next handle is given the token of the one before, which others are about to take
            // over from.
            930..936 => Operation::Leak(
                Visit { lock: NARROW, way: Way::Try, ..self.visit() },
                self.rng.u8(1..60),
            ),
            936..950 => Operation::DropHeld(self.visit()),
            950..960 => Operation::SetExitEvent(Duration::from_micros(self.rng.u64(..2_000))),
            _ => Operation::End(self.end()),
        }
    }

    fn wakeful(&mut self) -> Operation {
        match self.rng.u32(..1000) {
            0..400 => Operation::Visit(self.wakeful_visit()),
            400..900 => Operation::Meet(Visit { way: Way::Wait, ..self.wakeful_visit() }),
            900..970 => Operation::Close(WAKING),
            970..996 => Operation::Look(WAKING, self.wakeful_visit().make),
            _ => Operation::End(End::Return),
        }
    }

    fn fixed(&mut self) -> Operation {
        match self.rng.u32(..1000) {
            0..990 => Operation::Visit(Visit { lock: MIXED, ..self.visit() }),
            _ => Operation::End(End::Return),
        }
    }

    fn visit(&mut self) -> Visit {
        let lock = self.rng.usize(..WAKING);
        let kept = [90, 60, 0, 10, 50][lock];
        let way = match self.rng.u32(..100) {
            0..50 => Way::Wait,
            50..70 => Way::Try,
            70..85 => Way::For(self.patience()),
            _ => Way::Until(self.patience()),
        };
        let give = match self.rng.u32(..100) {
            0..60 => Give::Drop,
            60..95 => Give::Release,
            _ => Give::Force,
        };
        let inner = (lock + 1..WAKING).choose(&mut self.rng).filter(|_| self.rng.u32(..100) < 10);
        Visit {
            lock,
            make: self.make(),
            way,
            hold: self.hold(),
            give,
            depth: if self.rng.u32(..100) < 10 { self.rng.u8(1..4) } else { 0 },
            twice: self.rng.u32(..100) < 3,
            describe: self.rng.u32(..100) < 10,
            declare: self.rng.u32(..100) < 70,
            inner,
            keep: self.rng.u32(..100) < kept,
        }
    }

    fn wakeful_visit(&mut self) -> Visit {
        /// Longer than any run.
        const NEVER: Duration = Duration::from_secs(1_000_000);
        let make =
            Make { interval: NEVER, sleeps: false, event: self.rng.bool(), blocks: Blocks::Never };
        let keep = self.rng.u32(..100) < 70;
        Visit { lock: WAKING, make, twice: false, inner: None, keep, ..self.visit() }
    }

    fn make(&mut self) -> Make {
        Make {
            interval: Duration::from_micros(self.rng.u64(500..20_000)),
            sleeps: self.rng.u32(..100) < 20,
            event: self.rng.u32(..100) < 10,
            blocks: match self.rng.u32(..10) {
                0 => Blocks::Transitions,
                1 => Blocks::WhileHeld,
                _ => Blocks::Never,
            },
        }
    }

    fn patience(&mut self) -> Duration {
        let most = if self.rng.bool() { 500 } else { 30_000 };
        Duration::from_micros(self.rng.u64(..most))
    }

    fn hold(&mut self) -> Hold {
        match self.rng.u32(..1000) {
            0..500 => Hold::Nothing,
            500..800 => Hold::Spin(self.rng.u32(..3_000)),
            800..985 => Hold::Yield(self.rng.u8(1..4)),
            _ => Hold::Sleep(Duration::from_micros(self.rng.u64(..40_000))),
        }
    }

    fn end(&mut self) -> End {
        let inside = self.rng.bool().then(|| self.visit());
        match self.rng.u32(..10) {
            0..4 => End::Return,
            4..6 => End::Exit(inside),
            6 => End::AtOnce(inside),
            7 => End::Abort(inside),
            _ => End::Exec(inside),
        }
    }
}

impl Iterator for Plan {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        if self.ended {
            return None;
        }
        let operation = match self.role {
            Role::Mortal => self.mortal(),
            Role::Wakeful => self.wakeful(),
            Role::Fixed | Role::TokenExhaustion => self.fixed(),
        };
        self.ended = matches!(operation, Operation::End(_));
        Some(operation)
    }
}

/// Drawing one of a range; `None` from an empty one.
trait Choose {
    fn choose(self, rng: &mut Rng) -> Option<usize>;
}

impl Choose for std::ops::Range<usize> {
    fn choose(self, rng: &mut Rng) -> Option<usize> {
        (!self.is_empty()).then(|| rng.usize(self))
    }
}
