//! Implements a slot that several programs share, one at a time.

use super::{Boot, Roll, Slot};
use crate::error::Error;
use crate::fence::Fence;

impl<F: Fence> Roll<'_, F> {
    /// Returns the present boot of a slot for one more program of its party; `None` if none has
    /// begun.
    ///
    /// For processes of one operating system: to all others they are one party. **Each acquires
    /// first a lock that these processes share**, which tells of a dead owner, and holds it while
    /// it uses a handle of this boot. It calls this after each acquisition of that lock, and makes
    /// a new handle: another program may have begun a boot meanwhile.
    ///
    /// If that lock tells of a dead owner, the program calls [`begin_boot`](Self::begin_boot)
    /// instead, and only then declares that lock consistent. So the death becomes visible to the
    /// other parties. *If we die between:* the next program begins one boot more.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`].
    ///
    /// # Examples
    /// ```
    /// use shmlock_core::roll::{Boot, Roll, RollMemory, Slot};
    ///
    /// static ROLL: RollMemory<1> = RollMemory::new();
    /// const LINUX: Slot = Slot::new(1).unwrap();
    ///
    /// /// Runs under a lock among the processes, which tells whether its last owner died.
    /// fn present_boot(owner_died: bool) -> Result<Boot, shmlock_core::Error> {
    ///     let roll = Roll::from_static(&ROLL)?;
    ///     match roll.resume_boot(LINUX)? {
    ///         Some(boot) if !owner_died => Ok(boot),
    ///         _ => roll.begin_boot(LINUX),
    ///     }
    /// }
    ///
    /// let first = present_boot(false)?;
    /// assert_eq!(present_boot(false)?.id(), first.id());
    /// assert_eq!(present_boot(true)?.id().number(), 2);
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    pub fn resume_boot(self, slot: Slot) -> Result<Option<Boot>, Error> {
        // `last_boot` is relaxed: the programs' own lock orders the store of the program before.
        Ok(self.last_boot(slot)?.map(Boot::begun))
    }
}
