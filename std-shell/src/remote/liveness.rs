//! Implements [`RemoteprocLiveness`]: proof that an owner is dead, from remoteproc.

use std::num::NonZeroU16;

use shmlock_core::Token;
use shmlock_core::contend::Liveness;
use shmlock_core::roll::Slot;

use super::remoteproc::{HeldDown, Remoteproc, RemoteprocError, RemoteprocReading};

/// Proves the death of owners whose processor Linux holds down, for
/// [`lock_or_recover`](shmlock_core::RegionLock::lock_or_recover).
///
/// An owner that belongs to no processor given here, or whose processor is not
/// [held down](Remoteproc#when-a-processor-is-held-down), is held to be alive.
///
/// # What the firmware has, and which other program may start the processor
///
/// * [`with_slot`](Self::with_slot): the firmware's tokens are a slot and a boot epoch, which it
///   counts up at each boot before it uses a lock. The owner that the word names belongs to a boot
///   that had begun before the first reading. The reading proves that all such boots have ended.
///   The token does not come back for 1024 boots, so nothing that happens later makes it live.
/// * [`with_plain_token`](Self::with_plain_token): the firmware uses one token for all its life. If
///   it is started while the lock changes hands, it takes the lock that it finds under its token,
///   and **two contenders hold the lock**. So no other program may start the processor, and the
///   recovery is disabled before it is started. The second reading notices a start that has
///   happened nevertheless: see [`doubt`](Self::doubt).
/// * [`with_party`](Self::with_party): the firmware is a party of a
///   [`TicketLock`](shmlock_core::TicketLock). Other programs may start the processor: a proof lets
///   one waiter pass the life that has ended, or buries that life, and takes nothing from a later
///   one.
///
/// # Examples
/// ```
/// # let class = std::env::temp_dir().join(format!("doc-remoteproc-{}", std::process::id()));
/// # std::fs::create_dir_all(class.join("remoteproc0"))?;
/// # std::fs::write(class.join("remoteproc0/state"), "offline\n")?;
/// # std::fs::write(class.join("remoteproc0/recovery"), "disabled\n")?;
/// use shmlock::remote::shmlock_core::roll::{Roll, RollMemory, Slot};
/// use shmlock::remote::shmlock_core::{EpochRegion, RegionLock, RegionMemory, wait::Spin};
/// use shmlock::remote::{Remoteproc, RemoteprocLiveness};
///
/// static ROLL: RollMemory<2> = RollMemory::new(); // these stand for shared memory
/// static MEMORY: RegionMemory = RegionMemory::new();
/// const LINUX: Slot = Slot::new(1).unwrap();
/// const M4: Slot = Slot::new(2).unwrap();
///
/// let (roll, region) = (Roll::from_static(&ROLL)?, EpochRegion::from_static(&MEMORY)?);
/// let firmware = RegionLock::for_boot(region, &roll.begin_boot(M4)?);
/// std::mem::forget(firmware.try_lock()?); // it crashes with the lock
///
/// // A supervisor says `Remoteproc::new("remoteproc0")`.
/// let m4 = Remoteproc::in_class(&class, "remoteproc0");
/// let mut liveness = RemoteprocLiveness::new().with_slot(M4.get(), m4);
/// let lock = RegionLock::for_boot(region, &roll.begin_boot(LINUX)?);
/// let guard = lock.lock_or_recover(&mut Spin::attempts(1_000), &mut liveness)?;
/// assert!(guard.owner_died());
/// # std::fs::remove_dir_all(&class)?;
/// # drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RemoteprocLiveness {
    processors: Vec<(Owners, Remoteproc)>,
    failure: Option<RemoteprocError>,
    doubt: Option<Doubt>,
}

/// The tokens of a processor.
#[derive(Clone, Copy, Debug)]
enum Owners {
    Slot(u8),
    Plain(Token),
    Party(Token),
}

/// A take-over during which the processor of the dead owner may have been started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The owner that was taken for dead.
    pub owner: Token,
    /// The reading after the take-over.
    pub after: Result<RemoteprocReading, RemoteprocError>,
}

impl RemoteprocLiveness {
    /// Returns a value that proves no death.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a processor whose tokens are a slot, 1 to 63, and a boot epoch: the token is the slot
    /// times 1024 plus the epoch. Any other number is the slot of no token.
    #[must_use]
    pub fn with_slot(mut self, slot: u8, processor: Remoteproc) -> Self {
        self.processors.push((Owners::Slot(slot), processor));
        self
    }

    /// Adds a processor that has one token for all its life. **No other program may start it**: see
    /// the [type](Self).
    #[must_use]
    pub fn with_plain_token(mut self, token: NonZeroU16, processor: Remoteproc) -> Self {
        self.processors.push((Owners::Plain(Token::from_static(token)), processor));
        self
    }

    /// Adds a processor that is a party of a ticket lock, by its number.
    ///
    /// For a lock that waits by this proof, and for the supervisor that buries the party: see
    /// [`PhysicalRegion::ticket_region`](super::PhysicalRegion::ticket_region).
    #[must_use]
    pub fn with_party(mut self, party: NonZeroU16, processor: Remoteproc) -> Self {
        self.processors.push((Owners::Party(Token::from_static(party)), processor));
        self
    }

    /// Returns the last take-over from a plain token after which the processor was no longer held
    /// down, or could not be read, and forgets it.
    ///
    /// The caller asks after each acquisition with `owner_died`. If there is one, the processor may
    /// believe that it holds the lock. The caller stops it, and does not touch the data before
    /// that.
    #[must_use]
    pub fn doubt(&mut self) -> Option<Doubt> {
        self.doubt.take()
    }

    /// Returns the last error of a reading, for diagnosis, and forgets it. The owner was held to be
    /// alive.
    #[must_use]
    pub fn failure(&mut self) -> Option<RemoteprocError> {
        self.failure.take()
    }
}

impl Owners {
    fn contain(self, token: Token) -> bool {
        match self {
            Self::Slot(slot) => Slot::of_token(token).is_some_and(|(own, _)| own.get() == slot),
            Self::Plain(own) | Self::Party(own) => own == token,
        }
    }
}

impl Liveness for RemoteprocLiveness {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let (owners, processor) =
            self.processors.iter().find(|(owners, _)| owners.contain(owner))?;
        match processor.while_held_down(act) {
            Ok(HeldDown::Throughout(result)) => Some(result),
            Ok(HeldDown::InDoubt { result, after }) => {
                if matches!(owners, Owners::Plain(_)) {
                    self.doubt = Some(Doubt { owner, after });
                }
                Some(result)
            }
            Ok(HeldDown::No(_)) => None,
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }
}
