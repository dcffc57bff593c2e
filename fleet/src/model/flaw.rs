//! Names the mutants: each leaves one rule out.

/// A rule that is left out, of the protocol or of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The holder believes in its lease until a server says otherwise.
    NoOwnDeadline,
    /// The deadline counts from the answer's arrival.
    DeadlineFromAnswer,
    /// The deadline has no margin.
    NoMargin,
    /// A renewal that arrives after the deadline moves it.
    LossUndone,
    /// A keep-alive counts in whatever term it was answered.
    NoTermCheck,
    /// The reading comes before the keep-alive that it has to confirm.
    ReadingFirst,
    /// A renewal takes a key of the own name for the own key.
    NoRevisionCheck,
    /// The first place is the lock, also after the own deadline.
    NoCheckAtFirst,
    /// A waiter that is woken takes the lock without another reading.
    NoReadingAfterWake,
    /// The fencing token is the lease's number.
    TokenFromLease,
    /// The key is not bound to the lease.
    KeyWithoutLease,
    /// The key has the name of the machine, so the next process of the machine finds the former's.
    NameWithoutLease,
    /// Each waiter watches the first key.
    WatchFirst,
    /// A waiter watches the key after its own.
    WatchAfter,
    /// A waiter watches only its own key.
    WatchNothing,
    /// A waiter watches only the key before its own.
    WatchNotOwn,
    /// The watch begins when it is asked for, and not at the reading.
    WatchFromNow,
    /// A server ends a lease before its time.
    EarlyEnd,
    /// The servers are restored from an older state: they have forgotten the newest key.
    Restored,
}
