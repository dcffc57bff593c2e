//! Lists the searches of the ticket lock: the protocol within bounds, and each flaw within bounds
//! in which it shows.

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
        impatient: u8::MAX,
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
    bounds: Bounds {
        deaths: 3,
        impatient: u8::MAX,
        returns: true,
        handles: true,
        ..Bounds::of(2, 3)
    },
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
pub const THREE: Case =
    Case { name: "three, no faults", bounds: Bounds { impatient: u8::MAX, ..Bounds::of(3, 3) } };

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

/// Three parties, of which this one may die, be buried, and come back at any time.
const fn three_buried(name: &'static str, mortal: u8) -> Case {
    Case {
        name,
        bounds: Bounds {
            running: true,
            deaths: 1,
            mortal,
            returns: true,
            supervisor: true,
            ..Bounds::of(3, 2)
        },
    }
}

/// Three parties; the first may be buried and come back.
pub const THREE_BURIED: Case = three_buried("three, the first is buried, returns", 0b001);

/// The cases of the tests.
pub const SMALL: [Case; 8] =
    [TWO, TWO_RETURN, TWO_BURIED, TWO_PROVEN, THREE, THREE_RETURN, THREE_PROVEN, THREE_BURIED];

/// The larger cases.
pub const LARGE: [Case; 5] = [
    three_buried("three, the second is buried, returns", 0b010),
    three_buried("three, the third is buried, returns", 0b100),
    Case {
        name: "three, two deaths and returns",
        bounds: Bounds { deaths: 2, returns: true, ..Bounds::of(3, 2) },
    },
    Case { name: "three, five numbers", bounds: Bounds { impatient: u8::MAX, ..Bounds::of(3, 5) } },
    Case { name: "two, two deaths, all faults", bounds: Bounds { deaths: 2, ..TWO.bounds } },
];

/// Two parties that wait patiently; one death, and the dead comes back.
pub const PATIENT: Bounds = Bounds { deaths: 1, returns: true, handles: true, ..Bounds::of(2, 2) };

/// Two parties, of which only the first gives up.
pub const ONE_GIVES_UP: Bounds = Bounds { impatient: 0b01, ..Bounds::of(2, 3) };

/// Three parties and more numbers than they need at once.
pub const MANY_NUMBERS: Bounds = Bounds { running: true, impatient: u8::MAX, ..Bounds::of(3, 7) };

const fn of(flaw: Flaw, bounds: Bounds, breach: Breach) -> FlawCase {
    FlawCase { flaw, bounds, breach }
}

/// A flaw that lets two parties in, whatever it does to their order.
const fn two_inside(flaw: Flaw, bounds: Bounds) -> FlawCase {
    of(flaw, Bounds { in_order: false, ..bounds }, Breach::TwoInside)
}

/// The flaws.
pub const FLAWS: &[FlawCase] = &[
    two_inside(Flaw::NoWaitForChoosing, TWO_PROVEN.bounds),
    two_inside(Flaw::ChoosesLate, TWO_PROVEN.bounds),
    two_inside(Flaw::EndsChoosingEarly, TWO_PROVEN.bounds),
    two_inside(Flaw::LooksAtNumbersFirst, TWO_PROVEN.bounds),
    two_inside(Flaw::OverlooksAParty, THREE.bounds),
    two_inside(Flaw::WaitsForOneParty, THREE.bounds),
    two_inside(Flaw::NoIncrement, TWO_PROVEN.bounds),
    of(Flaw::NoIncrement, TWO_PROVEN.bounds, Breach::Overtaken),
    two_inside(Flaw::EqualNumberPasses, TWO_PROVEN.bounds),
    of(Flaw::EqualNumberWaits, PATIENT, Breach::Stuck),
    two_inside(Flaw::Modular, MANY_NUMBERS),
    two_inside(Flaw::Wraps, TWO_PROVEN.bounds),
    of(Flaw::WaitsInDoorway, PATIENT, Breach::Stuck),
    of(Flaw::StopKeepsNumber, PATIENT, Breach::Stuck),
    of(Flaw::WithdrawKeepsNumber, ONE_GIVES_UP, Breach::Stuck),
    of(Flaw::NoInside, PATIENT, Breach::Untold),
    of(Flaw::NumberBeforeSection, PATIENT, Breach::FalseAlarm),
    of(Flaw::KeepsInside, PATIENT, Breach::FalseAlarm),
    of(Flaw::LeaveKeepsNumber, PATIENT, Breach::Stuck),
    of(Flaw::ForgetsDeath, PATIENT, Breach::Untold),
    of(Flaw::CountsDeathAgain, TWO_RETURN.bounds, Breach::Unsteady),
    of(Flaw::KeepsOldNumber, PATIENT, Breach::Stuck),
    of(Flaw::KeepsOldChoosing, PATIENT, Breach::Stuck),
    two_inside(Flaw::NoNewLife, TWO.bounds),
    two_inside(Flaw::NewLifeLate, TWO.bounds),
    two_inside(Flaw::BurialOfAnyLife, TWO.bounds),
    two_inside(Flaw::LifeAfterProof, TWO.bounds),
    two_inside(Flaw::BuriesTheLiving, TWO.bounds),
    two_inside(Flaw::SupervisorClears, TWO.bounds),
    two_inside(Flaw::OldProof, TWO.bounds),
    two_inside(Flaw::ProofBeforeDoorway, THREE_PROVEN.bounds),
    of(Flaw::CountsTheReturnedOnly, TWO_PROVEN.bounds, Breach::Untold),
    of(Flaw::CountsItself, TWO_PROVEN.bounds, Breach::FalseAlarm),
    of(Flaw::DeclaresTheReturnedOnly, TWO_PROVEN.bounds, Breach::FalseAlarm),
    of(Flaw::EntersOverInside, PATIENT, Breach::Untold),
];
