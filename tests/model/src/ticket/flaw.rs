//! Names the steps that can be left out of the ticket lock, or reordered: each is a mistake that
//! the search must find.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Does not wait for parties that choose.
    NoWaitForChoosing,
    /// Reads the numbers before it says that it chooses.
    ChoosesLate,
    /// Says that it has chosen before its number stands.
    EndsChoosingEarly,
    /// Waits for the numbers first, then for those that choose.
    LooksAtNumbersFirst,
    /// Reads the number of one party only.
    OverlooksAParty,
    /// Waits for one party only.
    WaitsForOneParty,
    /// Takes the highest number, not one above it.
    NoIncrement,
    /// Does not wait for an equal number.
    EqualNumberPasses,
    /// Waits for an equal number, whichever party has it.
    EqualNumberWaits,
    /// Compares the numbers modulo their range, and goes on at 1 after the last one.
    Modular,
    /// Goes on at 1 after the last number, and compares plainly.
    Wraps,
    /// Waits in the doorway until the last number is gone.
    WaitsInDoorway,
    /// Leaves the doorway with the number of another handle of its party, which died.
    StopKeepsNumber,
    /// Gives up and keeps its number.
    WithdrawKeepsNumber,
    /// Does not set INSIDE.
    NoInside,
    /// Gives its number up while INSIDE is set.
    NumberBeforeSection,
    /// Releases and keeps INSIDE.
    KeepsInside,
    /// Releases and keeps its number.
    LeaveKeepsNumber,
    /// Clears INSIDE in a new life without counting a death.
    ForgetsDeath,
    /// Counts a death in a new life and keeps INSIDE.
    CountsDeathAgain,
    /// Keeps the number of an earlier life.
    KeepsOldNumber,
    /// Keeps choosing as in an earlier life.
    KeepsOldChoosing,
    /// Begins a life without a new number in the word *life*.
    NoNewLife,
    /// Begins a life only when its doorway is over.
    NewLifeLate,
    /// Takes any burial for one of the present life.
    BurialOfAnyLife,
    /// The supervisor reads the life when it buries, after the proof.
    LifeAfterProof,
    /// The supervisor buries without proof.
    BuriesTheLiving,
    /// The supervisor clears the words of the party.
    SupervisorClears,
    /// Uses a proof of death from before its own number stood.
    OldProof,
    /// Uses a proof of death from before it chose, for the last number.
    ProofBeforeDoorway,
    /// The owner does not count the parties that died inside and have not come back.
    CountsTheReturnedOnly,
    /// The owner counts its own INSIDE.
    CountsItself,
    /// Declares consistent without the parties that have not come back.
    DeclaresTheReturnedOnly,
    /// Sets INSIDE over one that was set, without counting a death.
    EntersOverInside,
}
