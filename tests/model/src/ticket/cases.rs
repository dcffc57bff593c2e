//! Lists the searches of the ticket lock: the protocol within bounds, and each flaw within bounds in
//! which it shows.

use super::breach::Breach;
use super::flaw::Flaw;
use super::world::Bounds;

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
    /// The flaw.
    pub flaw: Flaw,
    /// The bounds in which it is searched for.
    pub bounds: Bounds,
    /// The breach that is found.
    pub breach: Breach,
}

/// Two parties, and every fault and every recovery together.
pub const TWO: Case = Case {
    name: "two, all faults",
    bounds: Bounds {
        deaths: 1,
        impatient: true,
        returns: true,
        handles: true,
        supervisor: true,
        proofs: true,
        ..Bounds::of(2, 3)
    },
};

/// Two parties that die and come back.
pub const TWO_RETURN: Case = Case {
    name: "two, deaths and returns",
    bounds: Bounds { deaths: 3, impatient: true, returns: true, handles: true, ..Bounds::of(2, 3) },
};

/// Two parties; the dead do not come back, and a supervisor buries them.
pub const TWO_BURIED: Case = Case {
    name: "two, burials only",
    bounds: Bounds { deaths: 2, supervisor: true, ..Bounds::of(2, 3) },
};

/// Two parties; the dead do not come back, and waiters have proof.
pub const TWO_PROVEN: Case = Case {
    name: "two, proofs only",
    bounds: Bounds { deaths: 2, proofs: true, ..Bounds::of(2, 3) },
};

/// Three parties that live.
pub const THREE: Case = Case {
    name: "three, no faults",
    bounds: Bounds { impatient: true, ..Bounds::of(3, 3) },
};

/// Three parties, one death, and the dead comes back.
pub const THREE_RETURN: Case = Case {
    name: "three, a death and a return",
    bounds: Bounds { deaths: 1, returns: true, handles: true, ..Bounds::of(3, 2) },
};

/// Three parties, one death, and waiters have proof; the dead comes back at any time.
pub const THREE_PROVEN: Case = Case {
    name: "three, a death, a proof, a return",
    bounds: Bounds { deaths: 1, returns: true, proofs: true, ..Bounds::of(3, 2) },
};

/// Three parties, one death, and a supervisor; the dead comes back at any time.
pub const THREE_BURIED: Case = Case {
    name: "three, a death, a burial, a return",
    bounds: Bounds { deaths: 1, returns: true, supervisor: true, ..Bounds::of(3, 2) },
};

/// The cases of the tests.
pub const SMALL: [Case; 7] =
    [TWO, TWO_RETURN, TWO_BURIED, TWO_PROVEN, THREE, THREE_RETURN, THREE_PROVEN];

/// The larger cases.
pub const LARGE: [Case; 3] = [
    THREE_BURIED,
    Case {
        name: "three, two deaths and returns",
        bounds: Bounds { deaths: 2, returns: true, ..Bounds::of(3, 3) },
    },
    Case {
        name: "two, two deaths, all faults",
        bounds: Bounds { deaths: 2, ..TWO.bounds },
    },
];

const fn of(flaw: Flaw, case: Case, breach: Breach) -> FlawCase {
    FlawCase { flaw, bounds: case.bounds, breach }
}

/// The flaws.
pub const FLAWS: &[FlawCase] = &[
    of(Flaw::NoWaitForChoosing, TWO_RETURN, Breach::TwoInside),
];
