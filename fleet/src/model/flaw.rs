//! Names the mutants: each leaves one rule of the protocol out.

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flaw {
    /// The holder believes in its lease until a server says otherwise.
    NoOwnDeadline,
    /// The deadline counts from the answer's arrival.
    DeadlineFromAnswer,
    /// The deadline has no margin.
    NoMargin,
    /// The clock misses any number of ticks, as `CLOCK_MONOTONIC` does during a suspension.
    ClockStandsStill,
    /// A keep-alive counts in whatever term it was answered.
    NoTermCheck,
    /// A renewal that arrives after the deadline moves it.
    LossUndone,
    /// A key of the own name counts as the own key.
    NoRevisionCheck,
    /// The fencing token is the lease's number.
    TokenFromLease,
    /// The key is not bound to the lease.
    KeyWithoutLease,
}
