//! What is searched: the protocol within bounds, and each flaw within bounds in which it shows.

use crate::bounds::{Bounds, Draw, Making, Ticks, Victim};
use crate::flaw::{Flaw, Flaws};
use crate::property::Breach;

/// Bounds, and what they stand for.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What happens.
    pub name: &'static str,
    /// How far.
    pub bounds: Bounds,
}

/// A flaw, and the promise that it breaks.
#[derive(Clone, Copy, Debug)]
pub struct FlawCase {
    /// What is done wrongly.
    pub name: &'static str,
    /// The same for the search.
    pub flaws: Flaws,
    /// Where it is searched for.
    pub case: Case,
    /// What is found.
    pub breach: Breach,
}

/// Nobody looks again without being woken, so a wake that is missing shows.
pub const NO_TICKS: Case = Case {
    name: "no ticks",
    bounds: Bounds { ticks: Ticks::Never, idle: true, ..Bounds::of(3, 1) },
};

/// As [`NO_TICKS`], with contenders that give up, and come again.
pub const GIVING_UP: Case = Case {
    name: "no ticks, giving up",
    bounds: Bounds { ticks: Ticks::Never, idle: true, impatient: true, ..Bounds::of(3, 2) },
};

/// Anybody dies before any step.
pub const DEATH: Case =
    Case { name: "a death", bounds: Bounds { deaths: 1, idle: true, ..Bounds::of(3, 1) } };

/// An owner dies, and only that makes a sleeper look: a wake that is missing after a recovery
/// shows.
pub const OWNER_DIES: Case = Case {
    name: "an owner dies, ticks then only",
    bounds: Bounds {
        deaths: 1,
        victim: Victim::Owner,
        ticks: Ticks::AfterDeath,
        ..Bounds::of(3, 1)
    },
};

/// One dies and one is stopped for ever, each before any step.
pub const STOPPED: Case = Case {
    name: "a death and a stop",
    bounds: Bounds { deaths: 1, frozen: 1, idle: true, ..Bounds::of(3, 1) },
};

/// As [`STOPPED`], with deadlines everywhere.
pub const STOPPED_WITH_DEADLINES: Case = Case {
    name: "a death and a stop, with deadlines",
    bounds: Bounds { impatient: true, ..STOPPED.bounds },
};

/// Somebody outside of the protocol removes the file.
pub const REMOVED: Case = Case {
    name: "a removal from outside and a death",
    bounds: Bounds { removals: 1, deaths: 1, ..Bounds::of(3, 1) },
};

/// Other code of a process closes descriptor B, and its number leads elsewhere, before any step.
pub const EXCHANGED: Case = Case {
    name: "an exchange and a death",
    bounds: Bounds {
        exchanges: 1,
        deaths: 1,
        victim: Victim::Owner,
        idle: true,
        ..Bounds::of(3, 1)
    },
};

/// Files are made in one step and in two, opening has a deadline.
pub const TWO_WAYS_OF_MAKING: Case = Case {
    name: "made in one step or two, a death",
    bounds: Bounds {
        making: Making::Either,
        impatient: true,
        idle: true,
        deaths: 1,
        ..Bounds::of(3, 1)
    },
};

/// Any free token may come next, not only the lowest.
pub const ANY_TOKEN: Case = Case {
    name: "any free token, two visits, a death",
    bounds: Bounds { draw: Draw::Any, deaths: 1, ..Bounds::of(2, 2) },
};

/// Handles come, go and come again.
pub const TWO_VISITS: Case = Case {
    name: "two visits, two deaths",
    bounds: Bounds { deaths: 2, idle: true, ..Bounds::of(2, 2) },
};

/// What the tests search; a few seconds in all.
pub const SMALL: [Case; 11] = [
    NO_TICKS,
    GIVING_UP,
    DEATH,
    Case { name: "three deaths", bounds: Bounds { deaths: 3, ..DEATH.bounds } },
    OWNER_DIES,
    STOPPED_WITH_DEADLINES,
    REMOVED,
    EXCHANGED,
    TWO_WAYS_OF_MAKING,
    ANY_TOKEN,
    TWO_VISITS,
];

/// What `ci/model.sh` searches beyond that; some minutes, less than 4 GiB.
pub const LARGE: [Case; 10] = [
    Case { name: "two visits, two deaths", bounds: Bounds { deaths: 2, ..Bounds::of(3, 2) } },
    Case { name: "two visits, a stop", bounds: Bounds { frozen: 1, ..Bounds::of(3, 2) } },
    Case {
        name: "no ticks, two visits",
        bounds: Bounds { ticks: Ticks::Never, ..Bounds::of(3, 2) },
    },
    Case { name: "four processes, two deaths", bounds: Bounds { deaths: 2, ..Bounds::of(4, 1) } },
    Case {
        name: "four processes, no ticks",
        bounds: Bounds { ticks: Ticks::Never, idle: true, ..Bounds::of(4, 1) },
    },
    Case { name: "four processes, a stop", bounds: Bounds { frozen: 1, ..Bounds::of(4, 1) } },
    Case {
        name: "four processes, an owner dies",
        bounds: Bounds { processes: 4, ..OWNER_DIES.bounds },
    },
    Case { name: "four processes, a removal", bounds: Bounds { processes: 4, ..REMOVED.bounds } },
    Case {
        name: "two exchanges, two deaths",
        bounds: Bounds { exchanges: 2, deaths: 2, ..EXCHANGED.bounds },
    },
    Case {
        name: "any free token, three deaths",
        bounds: Bounds { draw: Draw::Any, deaths: 3, ..Bounds::of(3, 1) },
    },
];

/// Each flaw, and how it shows.
pub const FLAWS: [FlawCase; 27] = [
    one("no adoption: look, then take over", Flaw::NoAdoption, DEATH, Breach::Robbed),
    one("no second read after adoption", Flaw::NoSecondRead, DEATH, Breach::FalseAlarm),
    one("no stale check", Flaw::NoStaleCheck, STOPPED, Breach::Stuck),
    one("upgrade before unmap", Flaw::UpgradeBeforeUnmap, NO_TICKS, Breach::LeftBehind),
    one("judge before unmap", Flaw::JudgeBeforeUnmap, NO_TICKS, Breach::LeftBehind),
    one("unlink whatever the word says", Flaw::UnlinkUnjudged, DEATH, Breach::MarkLost),
    one("no presence", Flaw::NoPresence, NO_TICKS, Breach::SplitBrain),
    one("no comparison of A and B", Flaw::NoComparison, REMOVED, Breach::Robbed),
    one("no link count", Flaw::NoLinkCount, NO_TICKS, Breach::SplitBrain),
    one("name before presence", Flaw::PresenceAfterName, NO_TICKS, Breach::SplitBrain),
    one("no sticky WAITERS", Flaw::NoStickyWaiters, NO_TICKS, Breach::Deadlock),
    one("take-over drops WAITERS", Flaw::TakeOverDropsWaiters, OWNER_DIES, Breach::Deadlock),
    one("take-over without DIED", Flaw::NoDiedOnTakeOver, DEATH, Breach::Untold),
    one("release by load and store", Flaw::ReleaseByStore, NO_TICKS, Breach::Deadlock),
    one("no mark before sleeping", Flaw::NoMark, NO_TICKS, Breach::Deadlock),
    one("wake before release", Flaw::WakeBeforeRelease, NO_TICKS, Breach::Deadlock),
    one("passing on drops WAITERS", Flaw::PassOnDropsWaiters, NO_TICKS, Breach::Deadlock),
    one("passing on without a look", Flaw::NoClaim, NO_TICKS, Breach::Deadlock),
    one(
        "a proof by whatever a number leads to",
        Flaw::UnprovenDescriptor,
        EXCHANGED,
        Breach::Robbed,
    ),
    one(
        "a descriptor verified before the lock only",
        Flaw::VerifiedBeforeOnly,
        EXCHANGED,
        Breach::Robbed,
    ),
    one("a byte that goes with its number", Flaw::NoPin, EXCHANGED, Breach::SplitBrain),
    one(
        "unlink by an unverified descriptor",
        Flaw::UnlinkUnverified,
        EXCHANGED,
        Breach::SplitBrain,
    ),
    one(
        "unlock by an unverified descriptor",
        Flaw::UnlockUnverified,
        EXCHANGED,
        Breach::SplitBrain,
    ),
    one("no stepping aside", Flaw::NoStepAside, GIVING_UP, Breach::Deadlock),
    one("no wake when stepping aside", Flaw::NoWakeAside, GIVING_UP, Breach::Deadlock),
    FlawCase {
        name: "no ticks where somebody dies",
        flaws: Flaws::NONE,
        case: Case {
            name: "a death, no ticks",
            bounds: Bounds { ticks: Ticks::Never, ..DEATH.bounds },
        },
        breach: Breach::Deadlock,
    },
    FlawCase {
        name: "ticks for dead owners only",
        flaws: Flaws::NONE,
        case: Case {
            name: "a death, ticks after it",
            bounds: Bounds { ticks: Ticks::AfterDeath, ..DEATH.bounds },
        },
        breach: Breach::Deadlock,
    },
];

const fn one(name: &'static str, flaw: Flaw, case: Case, breach: Breach) -> FlawCase {
    FlawCase { name, flaws: Flaws::only(flaw), case, breach }
}
