//! Defines the parties that use the shared memory.

use core::num::NonZeroU16;

use shmlock_core::roll::Slot;

/// One contender. All processes of Linux are one party: each acquires the named lock first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The Linux process that has the named lock.
    Linux,
    /// The first core of the microcontroller.
    Core0,
    /// Its second core.
    Core1,
}

impl Party {
    /// All parties, in the order of their [`index`](Self::index).
    pub const ALL: [Self; 3] = [Self::Linux, Self::Core0, Self::Core1];

    /// Returns the party of a core; `None` if no machine here has this core.
    #[must_use]
    pub fn of_core(core: u32) -> Option<Self> {
        match core {
            0 => Some(Self::Core0),
            1 => Some(Self::Core1),
            _ => None,
        }
    }

    /// Returns the index into tables of parties, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns the number of the party in a ticket lock, from 1.
    #[must_use]
    pub fn number(self) -> NonZeroU16 {
        NonZeroU16::MIN.saturating_add(self as u16)
    }

    /// Returns the slot of the party in the roll of boots.
    #[must_use]
    pub const fn slot(self) -> Slot {
        const SLOTS: [Slot; 3] = [
            Slot::new(1).expect("1 to 63"),
            Slot::new(2).expect("1 to 63"),
            Slot::new(3).expect("1 to 63"),
        ];
        SLOTS[self as usize]
    }
}
