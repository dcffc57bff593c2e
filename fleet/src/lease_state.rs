//! Decides until when a lease lives, without a network, a clock and a lock.

use crate::clock::BootInstant;
use crate::loss::Loss;
use crate::protocol::Verdict;

/// What a contender knows of its lease: until when it lives, and whether it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LeaseState {
    deadline: BootInstant,
    lost: Option<Loss>,
}

impl LeaseState {
    pub(crate) fn new(deadline: BootInstant) -> Self {
        Self { deadline, lost: None }
    }

    /// Returns the loss at `now`. A loss is final: a late renewal does not undo it.
    pub(crate) fn loss(&mut self, now: BootInstant) -> Option<Loss> {
        if self.lost.is_none() && now >= self.deadline {
            self.lost = Some(Loss::DeadlinePassed);
        }
        self.lost
    }

    /// Applies a renewal that was judged as `verdict`. If it counts, the deadline moves to
    /// `deadline`.
    pub(crate) fn renew(&mut self, now: BootInstant, verdict: Verdict, deadline: BootInstant) {
        match verdict {
            Verdict::Renewed => self.extend(now, deadline),
            Verdict::Unconfirmed => {}
            Verdict::Expired => self.lose(now, Loss::Expired),
            Verdict::KeyGone => self.lose(now, Loss::KeyGone),
        }
    }

    pub(crate) fn lose(&mut self, now: BootInstant, loss: Loss) {
        if self.loss(now).is_none() {
            self.lost = Some(loss);
        }
    }

    pub(crate) fn deadline(&self) -> BootInstant {
        self.deadline
    }

    /// Moves the deadline, if the lease is not lost at `now`. It never moves back.
    fn extend(&mut self, now: BootInstant, deadline: BootInstant) {
        if self.loss(now).is_none() {
            self.deadline = self.deadline.max(deadline);
        }
    }
}

/// The model keeps the two parts of each contender's state in its own form.
#[cfg(test)]
impl LeaseState {
    pub(crate) fn from_parts(deadline: BootInstant, lost: Option<Loss>) -> Self {
        Self { deadline, lost }
    }

    /// Returns the loss that was found before, and looks for none.
    pub(crate) fn found_loss(&self) -> Option<Loss> {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::{LeaseState, Loss, Verdict};
    use crate::clock::BootInstant;

    #[test]
    fn a_loss_is_final() {
        let at = BootInstant::from_nanos;
        let mut state = LeaseState::new(at(10));
        assert_eq!(state.loss(at(9)), None);
        state.renew(at(9), Verdict::Renewed, at(20));
        state.renew(at(9), Verdict::Renewed, at(15));
        assert_eq!(state.deadline(), at(20), "a deadline never moves back");
        state.renew(at(9), Verdict::Unconfirmed, at(30));
        assert_eq!(state.deadline(), at(20), "nothing was renewed");
        assert_eq!(state.loss(at(20)), Some(Loss::DeadlinePassed));
        state.renew(at(21), Verdict::Renewed, at(40));
        assert_eq!(state.loss(at(22)), Some(Loss::DeadlinePassed));
        state.renew(at(22), Verdict::KeyGone, at(40));
        assert_eq!(state.loss(at(22)), Some(Loss::DeadlinePassed), "the first reason stays");

        let mut state = LeaseState::new(at(10));
        state.renew(at(10), Verdict::Renewed, at(20));
        assert_eq!(state.loss(at(10)), Some(Loss::DeadlinePassed), "the renewal came too late");
        for (verdict, loss) in
            [(Verdict::KeyGone, Loss::KeyGone), (Verdict::Expired, Loss::Expired)]
        {
            let mut state = LeaseState::new(at(10));
            state.renew(at(1), verdict, at(20));
            assert_eq!(state.loss(at(1)), Some(loss));
        }
    }
}
