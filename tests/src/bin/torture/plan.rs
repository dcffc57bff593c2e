//! Draws the plan of a worker: a list of operations that follows from a seed, a seat and a number,
//! and from nothing else.
//!
//! Everything random is drawn here, before it happens. When things happen, and so which workers
//! meet, is up to the kernel's scheduler and cannot be repeated; the plans can.

use std::time::Duration;

use fastrand::Rng;

use crate::role::{MIXED, NARROW, Role, WAKING};
use crate::visit::{Blocks, End, Give, Hindrance, Hold, Make, Operation, Visit, Way};

/// The operations of one process.
pub(crate) struct Plan {
    rng: Rng,
    role: Role,
    ended: bool,
    /// `true` if the process installs the exit handlers.
    pub(crate) handlers: bool,
    /// `true` if its handles refuse a lock whose owner has died.
    pub(crate) poisoning: bool,
}

impl Plan {
    /// Returns the plan of the `nth` process on this seat.
    pub(crate) fn new(seed: u64, seat: usize, nth: u64) -> Self {
        // Arbitrary odd numbers: they keep neighbouring seats and processes apart.
        let own = seed
            ^ (seat as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ nth.wrapping_mul(0xd1b5_4a32_d192_ed03);
        let mut rng = Rng::with_seed(own);
        let (handlers, role) = (rng.bool(), Role::of(seat));
        let poisoning = role == Role::Mortal && rng.u32(..4) == 0;
        Self { rng, role, ended: false, handlers, poisoning }
    }

    fn mortal(&mut self) -> Operation {
        let lock = self.rng.usize(..WAKING);
        match self.rng.u32(..1000) {
            0..660 => Operation::Visit(self.visit()),
            660..680 => self.hinder(Hindrance::Refused),
            680..700 => {
                let time = Duration::from_micros(self.rng.u64(100..2_000));
                self.hinder(Hindrance::Slow(time))
            }
            700..760 => Operation::Close(lock),
            760..830 => Operation::Look(lock, self.make()),
            830..860 => Operation::HandOver(self.visit()),
            860..890 => Operation::Crowd(self.visit(), self.rng.u8(1..20)),
            890..915 => {
                let visits = (0..self.rng.usize(..8)).map(|_| self.visit()).collect();
                Operation::Fork { visits, drops: self.rng.bool(), waits: self.rng.bool() }
            }
            915..930 => Operation::Leak(self.visit(), 1),
            // The next handle draws the token of the one before, which others are about to recover.
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
            400..800 => {
                let visit = Visit { way: Way::Wait, ..self.wakeful_visit() };
                Operation::Meet { visit, recalls: false }
            }
            800..900 => Operation::Meet { visit: self.recalling_visit(), recalls: true },
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
            70..85 => Way::For(self.timeout()),
            _ => Way::Until(self.timeout()),
        };
        let give = match self.rng.u32(..100) {
            0..60 => Give::Drop,
            60..95 => Give::Release,
            _ => Give::Force { drops: self.rng.bool() },
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
        let make = Make {
            interval: NEVER,
            sleeps: false,
            event: self.rng.bool(),
            blocks: Blocks::Never,
            barges: false,
        };
        let keep = self.rng.u32(..100) < 70;
        Visit { lock: WAKING, make, twice: false, inner: None, keep, ..self.visit() }
    }

    /// Draws a visit that lasts until the waiters sleep without a timer, and is made once more
    /// before a woken waiter runs.
    fn recalling_visit(&mut self) -> Visit {
        let visit = self.wakeful_visit();
        let make = Make { barges: true, ..visit.make };
        let hold = Hold::Sleep(Duration::from_micros(self.rng.u64(2_000..8_000)));
        Visit { make, hold, way: Way::Wait, give: Give::Release, ..visit }
    }

    /// Draws visits that keep their handles.
    fn hinder(&mut self, how: Hindrance) -> Operation {
        let mut visit = || {
            let way = if self.rng.bool() { Way::Try } else { Way::For(self.timeout()) };
            Visit { way, twice: false, inner: None, keep: true, ..self.visit() }
        };
        let visits = [visit(), visit(), visit(), visit()];
        Operation::Hinder(how, visits.into())
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
            barges: false,
        }
    }

    fn timeout(&mut self) -> Duration {
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

/// Draws one of a range; `None` from an empty one.
trait Choose {
    fn choose(self, rng: &mut Rng) -> Option<usize>;
}

impl Choose for std::ops::Range<usize> {
    fn choose(self, rng: &mut Rng) -> Option<usize> {
        (!self.is_empty()).then(|| rng.usize(self))
    }
}
