//! Defines the world: the files that have or had the name, and what each process has, knows and
//! does next.
//!
//! The kernel's tables of byte locks and of sleepers are not stored: they follow from the
//! processes. So a process that dies drops its locks, and two worlds that differ only in the order
//! of the processes are one world after [`World::sorted`].

use crate::place::Place;
use crate::squeezed::{Squeezed, TokenNumber};

/// The largest number of processes.
pub const PROCESSES: usize = 4;
/// Each process may be on a nameless file of its own while one file has the name.
pub(crate) const FILES: usize = PROCESSES + 1;

/// No file.
pub(crate) const NOWHERE: u8 = u8::MAX;

/// A lock on the presence byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Presence {
    #[default]
    None,
    /// Read-locked on file A.
    Here,
    /// Write-locked on file B.
    Alone,
}

/// The object that descriptor B refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Leads {
    /// The description that was opened.
    #[default]
    Itself,
    /// Another file: every byte looks free there and can be locked, without any effect on this one.
    Elsewhere,
    /// The description of the same file that has this token and the presence of its handle: through
    /// it both look free.
    Identity(TokenNumber),
}

/// One thing that a process remembers, or that the model remembers of it.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Note {
    /// Has set WAITERS: `Attempt::AfterWaiting`.
    Waited,
    /// Has probed the owner once, so may sleep now.
    Probed,
    /// The recovery succeeded.
    Won,
    /// Has created the file, and not yet checked that byte locks work.
    Made,
    /// Was told of a death.
    Told,
    /// Closes in order to open again.
    Again,
    /// Is in an exit handler: ends without closing.
    Exiting,
    /// Is stopped for ever.
    Frozen,
}

/// A set of notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Notes(u8);

impl Notes {
    pub(crate) fn has(self, note: Note) -> bool {
        self.0 & (1 << note as u8) != 0
    }

    pub(crate) fn set(&mut self, note: Note) {
        self.0 |= 1 << note as u8;
    }

    pub(crate) fn clear(&mut self, note: Note) {
        self.0 &= !(1 << note as u8);
    }
}

/// One process, with one handle at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Process {
    pub(crate) at: Place,
    /// The file of description A, later of the mapping.
    pub(crate) a: u8,
    /// The file of description B.
    pub(crate) b: u8,
    /// The object that descriptor B refers to.
    pub(crate) leads: Leads,
    pub(crate) presence: Presence,
    /// Its token, whose byte is locked on A. 0 if none.
    pub(crate) token: TokenNumber,
    /// The token whose byte is locked on B. 0 if none.
    pub(crate) adopted: TokenNumber,
    /// The word that the process expects, or last saw.
    pub(crate) seen: Squeezed,
    pub(crate) notes: Notes,
    /// The number of critical sections that are left.
    pub(crate) left: u8,
}

impl Process {
    pub(crate) const fn new(visits: u8) -> Self {
        Self {
            at: Place::LookUp,
            a: NOWHERE,
            b: NOWHERE,
            leads: Leads::Itself,
            presence: Presence::None,
            token: 0,
            adopted: 0,
            seen: Squeezed::FREE,
            notes: Notes(0),
            left: visits,
        }
    }

    pub(crate) const GONE: Self = Self { at: Place::Gone, ..Self::new(0) };

    pub(crate) fn is_frozen(&self) -> bool {
        self.notes.has(Note::Frozen)
    }

    pub(crate) fn can_move(&self) -> bool {
        self.at != Place::Gone && !self.is_frozen()
    }

    /// Returns `true` if it has acquired and not released.
    pub(crate) fn holds(&self) -> bool {
        match self.at {
            Place::UnlockOwner => self.notes.has(Note::Won),
            Place::CheckOrphan
            | Place::Inside
            | Place::DeclareConsistent
            | Place::Release
            | Place::StoreRelease
            | Place::QuietRelease
            | Place::Abandon => true,
            _ => false,
        }
    }

    /// Returns `true` if it is between opening and closing.
    pub(crate) fn is_open(&self) -> bool {
        (Place::TryAcquire..=Place::Unmap).contains(&self.at)
    }
}

/// The link count of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Link {
    #[default]
    None,
    Named,
    /// Removed, but still open somewhere.
    Nameless,
}

/// One file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct File {
    pub(crate) link: Link,
    pub(crate) word: Squeezed,
    /// Created by `O_CREAT|O_EXCL` and not yet grown.
    pub(crate) empty: bool,
    /// The fact that DIED reports: an owner died, and no owner has declared the data consistent
    /// since.
    pub(crate) torn: bool,
}

/// One state of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) files: [File; FILES],
    pub(crate) processes: [Process; PROCESSES],
    /// The number of processes that were killed, leaked their hold, or ended by an exit handler.
    pub(crate) deaths: u8,
    /// The number of removals by a process outside the protocol.
    pub(crate) removals: u8,
    /// The number of exchanges of a descriptor.
    pub(crate) exchanges: u8,
}

impl World {
    pub(crate) fn new(processes: usize, visits: u8) -> Self {
        let mut world = Self {
            files: [File::default(); FILES],
            processes: [Process::GONE; PROCESSES],
            deaths: 0,
            removals: 0,
            exchanges: 0,
        };
        world.processes[..processes].fill(Process::new(visits));
        world
    }

    /// Returns the same world with the processes sorted.
    pub(crate) fn sorted(mut self) -> Self {
        self.processes.sort_unstable();
        self
    }

    /// Returns `true` if no process can take another step.
    pub(crate) fn is_final(&self) -> bool {
        !self.processes.iter().any(Process::can_move)
    }

    pub(crate) fn frozen(&self) -> Option<&Process> {
        self.processes.iter().find(|process| process.is_frozen())
    }
}
