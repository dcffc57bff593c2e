//! Finds waiters that are stuck, and workers that do not end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::fault::Fault;
use crate::memory::{Doing, Memory};
use crate::system;

/// The longest plausible wait for a lock whose owners live and run. They are stopped for less than
/// a second, and most critical sections last microseconds; the rest is unfairness, of which the
/// report shows the worst.
const STUCK: Duration = Duration::from_secs(20);

pub(crate) struct Watch<'m> {
    memory: &'m Memory,
    /// All lives below this number are over.
    oldest: u64,
}

impl<'m> Watch<'m> {
    pub(crate) fn new(memory: &'m Memory) -> Self {
        Self { memory, oldest: 1 }
    }

    /// Reports waiters that have been waiting too long.
    pub(crate) fn look(&mut self) {
        let mut all_over = true;
        for number in self.oldest..=self.memory.born.load(Relaxed) {
            if !self.check_end(number) {
                all_over = false;
                self.judge(number);
            }
            if all_over {
                self.oldest = number + 1;
            }
        }
    }

    fn judge(&self, number: u64) {
        let life = self.memory.life(number);
        let since = life.waiting.load(Relaxed);
        let waited = Duration::from_nanos(system::now().saturating_sub(since));
        if since != 0 && waited > STUCK && !life.process().has_died() {
            self.accuse(number, waited);
        }
    }

    fn check_end(&self, number: u64) -> bool {
        let life = self.memory.life(number);
        let is_over = life.buried.load(Relaxed) != 0
            || life.is_doing(Doing::Ended)
            || life.doomed.load(Relaxed) != 0
            || life.pid.load(Relaxed) != 0 && life.process().has_died();
        if is_over {
            life.buried.store(1, Relaxed);
        }
        is_over
    }

    fn all_present(&self) -> impl Iterator<Item = u64> {
        self.memory.numbers().filter(|&number| !self.check_end(number))
    }

    /// Kills every worker that is still running.
    pub(crate) fn kill_all(&self) {
        let pids = self.all_present().map(|number| self.memory.life(number).process().pid);
        for pid in pids.filter(|&pid| pid != 0) {
            system::signal(pid, libc::SIGKILL);
        }
    }

    /// Reports the workers that did not end in time.
    pub(crate) fn accuse_the_last(&self, time: Duration) {
        self.all_present().for_each(|number| self.accuse(number, time));
    }

    fn accuse(&self, number: u64, waited: Duration) {
        let seen = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.memory.accuse(Fault::Stuck, usize::MAX, number, seen);
    }
}
