//! Defines the world of the ticket lock: the lines, the parties, the supervisor, and the bounds.

use shmlock_core::ticket::Section;

use super::flaw::Flaw;

/// The most parties of a search.
pub const PARTIES: usize = 3;

/// The bounds of one search.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent of each other")]
pub struct Bounds {
    /// The number of parties: 2 or 3.
    pub parties: usize,
    /// The last number that can be drawn.
    pub last: u8,
    /// `true` if all parties have begun a life at the start, and rest.
    pub running: bool,
    /// The largest number of deaths.
    pub deaths: u8,
    /// The parties that may die and be buried: bit 0 is party 1.
    pub mortal: u8,
    /// `true` if the order is checked: first come, first served.
    pub in_order: bool,
    /// The parties that may give up at any look: bit 0 is party 1.
    pub impatient: u8,
    /// `true` if a dead party may start again.
    pub returns: bool,
    /// `true` if one of several handles of a party may die alone, and another one goes on.
    pub handles: bool,
    /// `true` if there is a supervisor.
    pub supervisor: bool,
    /// `true` if a waiter may be given proof of death.
    pub proofs: bool,
}

impl Bounds {
    /// Returns the bounds of so many parties without faults.
    #[must_use]
    pub const fn of(parties: usize, last: u8) -> Self {
        Self {
            parties,
            last,
            running: false,
            deaths: 0,
            mortal: u8::MAX,
            in_order: true,
            impatient: 0,
            returns: false,
            handles: false,
            supervisor: false,
            proofs: false,
        }
    }
}

/// The rules of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) bounds: Bounds,
    pub(super) flaw: Option<Flaw>,
}

impl Rules {
    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Returns `true` if this party may die and be buried.
    pub(super) fn is_mortal(&self, who: usize) -> bool {
        self.bounds.mortal & 1 << who != 0
    }

    /// Returns `true` if this party may give up.
    pub(super) fn is_impatient(&self, who: usize) -> bool {
        self.bounds.impatient & 1 << who != 0
    }

    /// Returns the world at the start.
    pub(super) fn start(&self) -> World {
        let mut world = World::default();
        if self.bounds.running {
            for party in &mut world.parties[..self.bounds.parties] {
                (party.at, party.life) = (Place::Idle, 1);
            }
        }
        world
    }
}

/// The next step of a party: one load or one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Place {
    /// Never started.
    #[default]
    Off,
    /// Dead, with its line as it was.
    Dead,
    /// One handle of the party is dead, and another may go on.
    Orphan,
    /// At rest.
    Idle,
    // Begins a life.
    BeginSection,
    BeginChoosing,
    BeginNumber,
    BeginLife,
    // The doorway.
    Choose,
    ReadNumber,
    ReadLifeOfLast,
    ReadBurialOfLast,
    ProveLast,
    StopNumber,
    StopChoosing,
    AwaitLast,
    Take,
    EndChoosing,
    LateLife,
    // The waits.
    LookChoosing,
    LookNumber,
    ReadLife,
    ReadBurial,
    Prove,
    Withdraw,
    // The critical section.
    Enter,
    Inside,
    Leave,
    LeaveNumber,
}

/// One party and its line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Party {
    pub(super) at: Place,
    /// The party that it looks at.
    pub(super) other: u8,
    /// The look by which it waits: at choosing, or at the numbers.
    pub(super) wait: Place,
    /// The highest number read, then its own; the sum of the deaths while it is inside.
    pub(super) value: u8,
    /// The life of the other that it has read.
    pub(super) life_read: u8,
    /// Only in a flawed search: the parties that were proven dead too early, or a life that is
    /// owed.
    pub(super) too_early: u8,
    // The line.
    pub(super) choosing: bool,
    pub(super) number: u8,
    pub(super) section: u8,
    pub(super) life: u8,
    pub(super) buried: u8,
}

impl Party {
    pub(super) fn section(&self) -> Section {
        Section::from_bits(u32::from(self.section))
    }

    pub(super) fn set_section(&mut self, section: Section) {
        self.section = small(section.bits());
    }

    /// Returns `true` if it holds the lock, and may use the data.
    pub(super) fn is_inside(&self) -> bool {
        matches!(self.at, Place::Inside | Place::Leave)
    }

    /// Returns `true` if no handle of it runs: then a proof of its death is possible.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.at, Place::Off | Place::Dead)
    }

    /// Goes to the step. Forgets values that no later step reads, so that equal worlds are equal.
    pub(super) fn go(&mut self, at: Place) {
        self.at = at;
        if matches!(at, Place::Off | Place::Dead | Place::Orphan | Place::Idle | Place::Choose) {
            (self.other, self.wait, self.value, self.life_read) = (0, Place::Off, 0, 0);
        }
        if matches!(at, Place::Dead | Place::Orphan) {
            self.too_early = 0;
        }
    }
}

/// The state of the supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Supervisor {
    #[default]
    Idle,
    /// Has read the life of a party.
    HasLife(u8, u8),
    /// Has proof that the party was dead after that.
    HasProof(u8, u8),
}

/// One world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) parties: [Party; PARTIES],
    pub(super) supervisor: Supervisor,
    pub(super) declared: u8,
    /// An owner died, and no owner has declared the data consistent since. No party reads it.
    pub(super) torn: bool,
    pub(super) deaths: u8,
    /// Bit `3 a + b`: party `a` had passed its doorway before party `b` entered its own. No party
    /// reads it.
    pub(super) came_before: u16,
}

impl World {
    /// Returns `true` if party `early` passed its doorway before `late` entered its own.
    pub(super) fn came_before(&self, early: usize, late: usize) -> bool {
        self.came_before & 1 << (early * PARTIES + late) != 0
    }

    pub(super) fn note_came_before(&mut self, early: usize, late: usize) {
        self.came_before |= 1 << (early * PARTIES + late);
    }

    /// Forgets which parties came before this party and after it.
    pub(super) fn forget_order(&mut self, who: usize) {
        for other in 0..PARTIES {
            self.came_before &= !(1 << (who * PARTIES + other) | 1 << (other * PARTIES + who));
        }
    }
}

/// Returns a number of a small world as a byte.
pub(super) fn small(number: u32) -> u8 {
    u8::try_from(number).expect("small numbers only")
}
