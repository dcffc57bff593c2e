//! Lists the searches: the protocol within bounds, and each flaw within bounds in which it shows.

use crate::bounds::{Bounds, Draw, Making, Ticks, Victim};
use crate::breach::Breach;
use crate::flaw::{Flaw, Flaws};

/// Named bounds.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name, which says what happens.
    pub name: &'static str,
    /// The bounds of the search.
    pub bounds: Bounds,
}

/// A flaw, and the property that it breaks.
#[derive(Clone, Copy, Debug)]
pub struct FlawCase {
    /// The name: the fault in the steps.
    pub name: &'static str,
    /// The flaws of the search.
    pub flaws: Flaws,
    /// The bounds in which it is searched for.
    pub case: Case,
    /// The breach that is found.
    pub breach: Breach,
}

/// No sleeper retries without being woken, so a missing wake shows.
pub const NO_TICKS: Case = Case {
    name: "no ticks",
    bounds: Bounds { ticks: Ticks::Never, idle: true, ..Bounds::of(3, 1) },
};

/// The case [`NO_TICKS`], with waiters that give up and come again.
pub const GIVING_UP: Case = Case {
    name: "no ticks, giving up",
    bounds: Bounds { ticks: Ticks::Never, idle: true, impatient: true, ..Bounds::of(3, 2) },
};

/// Any process dies before any step.
pub const DEATH: Case =
    Case { name: "a death", bounds: Bounds { deaths: 1, idle: true, ..Bounds::of(3, 1) } };

/// An owner dies, and only that makes a sleeper retry: a missing wake after a recovery shows.
pub const OWNER_DIES: Case = Case {
    name: "an owner dies, ticks only then",
    bounds: Bounds {
        deaths: 1,
        victim: Victim::Owner,
        ticks: Ticks::AfterDeath,
        ..Bounds::of(3, 1)
    },
};

/// One process dies and one is stopped for ever, each before any step.
pub const STOPPED: Case = Case {
    name: "a death and a stop",
    bounds: Bounds { deaths: 1, frozen: 1, idle: true, ..Bounds::of(3, 1) },
};

/// The case [`STOPPED`], with deadlines everywhere.
pub const STOPPED_WITH_DEADLINES: Case = Case {
    name: "a death and a stop, with deadlines",
    bounds: Bounds { impatient: true, ..STOPPED.bounds },
};

/// A process outside the protocol removes the file.
pub const REMOVED: Case = Case {
    name: "a removal from outside and a death",
    bounds: Bounds { removals: 1, deaths: 1, ..Bounds::of(3, 1) },
};

/// Other code of a process replaces descriptor B, before any step.
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

/// Any free token may be drawn next, not only the lowest.
pub const ANY_TOKEN: Case = Case {
    name: "any free token, two visits, a death",
    bounds: Bounds { draw: Draw::Any, deaths: 1, ..Bounds::of(2, 2) },
};

/// Handles come, go and come again.
pub const TWO_VISITS: Case = Case {
    name: "two visits, two deaths",
    bounds: Bounds { deaths: 2, idle: true, ..Bounds::of(2, 2) },
};

/// The cases of the tests; a few seconds in all.
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

/// The further cases of `ci/model.sh`; some minutes, less than 4 GiB.
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

/// Each flaw, and the breach by which it shows.
pub const FLAWS: [FlawCase; 27] = [
    one("no adoption: test, then recover", Flaw::NoAdoption, DEATH, Breach::Robbed),
    one("no second read after adoption", Flaw::NoSecondRead, DEATH, Breach::FalseAlarm),
    one("no stale check", Flaw::NoStaleCheck, STOPPED, Breach::Stuck),
    one("upgrade before unmap", Flaw::UpgradeBeforeUnmap, NO_TICKS, Breach::LeftBehind),
    one("judge before unmap", Flaw::JudgeBeforeUnmap, NO_TICKS, Breach::LeftBehind),
    one("unlink whatever the word says", Flaw::UnlinkUnjudged, DEATH, Breach::DiedLost),
    one("no presence", Flaw::NoPresence, NO_TICKS, Breach::SplitBrain),
    one("no comparison of A and B", Flaw::NoComparison, REMOVED, Breach::Robbed),
    one("no link count", Flaw::NoLinkCount, NO_TICKS, Breach::SplitBrain),
    one("name before presence", Flaw::PresenceAfterName, NO_TICKS, Breach::SplitBrain),
    one("no sticky WAITERS", Flaw::NoStickyWaiters, NO_TICKS, Breach::Deadlock),
    one("recovery drops WAITERS", Flaw::TakeOverDropsWaiters, OWNER_DIES, Breach::Deadlock),
    one("recovery without DIED", Flaw::NoDiedOnTakeOver, DEATH, Breach::Untold),
    one("release by load and store", Flaw::ReleaseByStore, NO_TICKS, Breach::Deadlock),
    one("no WAITERS before sleeping", Flaw::NoWaiters, NO_TICKS, Breach::Deadlock),
    one("wake before release", Flaw::WakeBeforeRelease, NO_TICKS, Breach::Deadlock),
    one("no wake, and WAITERS dropped", Flaw::QuietReleaseDropsWaiters, NO_TICKS, Breach::Deadlock),
    one("no wake, and no check", Flaw::NoClaim, NO_TICKS, Breach::Deadlock),
    one("a proof by an unverified descriptor", Flaw::UnprovenDescriptor, EXCHANGED, Breach::Robbed),
    one(
        "a descriptor verified before the lock only",
        Flaw::VerifiedBeforeOnly,
        EXCHANGED,
        Breach::Robbed,
    ),
    one("a byte that goes with its descriptor", Flaw::NoPin, EXCHANGED, Breach::SplitBrain),
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
    one("giving up in silence", Flaw::NoCancelWait, GIVING_UP, Breach::Deadlock),
    one("no wake when giving up", Flaw::NoWakeOnCancel, GIVING_UP, Breach::Deadlock),
    FlawCase {
        name: "no ticks where a process dies",
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
