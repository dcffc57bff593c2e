//! Implements the loop by which a party comes to own the ticket lock.

use core::num::NonZeroU16;

use super::layout::Line;
use super::region::token_of;
use super::steps::{Obstacle, Party, draw, is_buried, is_dead};
use super::words::Ticket;
use crate::contend::Liveness;
use crate::fence::Fence;
use crate::sync::Relaxed;
use crate::wait::{Wait, WaitAction, WaitContext};
use crate::word::Word;

/// One acquisition: its way of waiting, its proof of death, and how often it waited.
pub(super) struct Contention<'c, L> {
    wait: &'c mut dyn Wait,
    liveness: &'c mut L,
    /// The failed attempts.
    pub(super) failed: u32,
}

impl<'c, L: Liveness> Contention<'c, L> {
    pub(super) fn new(wait: &'c mut dyn Wait, liveness: &'c mut L) -> Self {
        Self { wait, liveness, failed: 0 }
    }

    /// Acquires the lock: the steps 1 to 6.
    ///
    /// # Errors
    /// The party that we waited for when `wait` gave up, as the word of a lock that it holds. Our
    /// line is at rest then.
    #[inline]
    pub(super) fn acquire<const N: usize, F: Fence>(
        &mut self,
        us: &Party<'_, N, F>,
    ) -> Result<(), Word> {
        let number = loop {
            us.choose();
            match draw(us.others(), self.liveness) {
                Ok(number) => break number,
                Err((party, line)) => {
                    us.stop_choosing();
                    self.pass(party, line, Obstacle::LastNumber)?;
                }
            }
        };
        us.take(number);
        let ours = Ticket { number, party: us.number.get() };
        let passed = self
            .pass_all(us, Obstacle::Choosing)
            .and_then(|()| self.pass_all(us, Obstacle::NumberBefore(ours)));
        match passed {
            Ok(()) => us.enter(),
            Err(_) => us.withdraw(),
        }
        passed
    }

    /// Waits for all others.
    #[inline]
    fn pass_all<const N: usize, F: Fence>(
        &mut self,
        us: &Party<'_, N, F>,
        obstacle: Obstacle,
    ) -> Result<(), Word> {
        us.pass_all(us.others(), obstacle, |party, line| self.pass(party, line, obstacle))
    }

    /// Waits until the other party does not stand in our way, or is gone.
    #[cold]
    #[inline(never)]
    fn pass(&mut self, party: u16, line: &Line, obstacle: Obstacle) -> Result<(), Word> {
        let word = obstacle.word(line);
        loop {
            let value = word.load(Relaxed); // partner: as in `Party::pass_all`
            if !obstacle.stands_in_way(party, value) || is_buried(line) {
                return Ok(());
            }
            let seen =
                NonZeroU16::new(party).map_or(Word::FREE, |party| Word::held_by(token_of(party)));
            let action =
                self.wait.wait(&mut WaitContext::of_ticket(word, value, seen, self.failed));
            self.failed = self.failed.saturating_add(1);
            match action {
                WaitAction::Probe if is_dead(party, self.liveness) => return Ok(()),
                WaitAction::Retry | WaitAction::Probe => {}
                WaitAction::GiveUp => return Err(seen),
            }
        }
    }
}
