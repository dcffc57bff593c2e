//! Reads a lock that can be copied but not mapped: from a file that is read-only, over a debug
//! probe.
//!
//! One copy may be torn, for it takes time and the lock moves meanwhile. Two copies in a row tell:
//! a part that is the same in both, record sequence included, stood still from the middle of the
//! first to the middle of the second.

use core::mem::offset_of;

use crate::fence::Fence;
use crate::layout::{REGION_LEN, Words};
use crate::region::{READ_ATTEMPTS, RegionMemory};
use crate::sync::Relaxed;

/// Returns a private copy of a region, to be read through [`Region::new`](crate::Region::new).
/// Changes to the copy do not reach the lock. `copy` reads the 128 bytes, in any order.
///
/// If the lock changes hands faster than it can be copied, the record of the copy describes no
/// owner: only the token of the holder is known.
///
/// Blocks for as long as [`READ_ATTEMPTS`] calls of `copy` at most.
///
/// # Errors
/// Those of `copy`.
///
/// # Examples
/// ```
/// use shmlock_core::fence::InnerShareable;
/// use shmlock_core::layout::REGION_LEN;
/// use shmlock_core::{Error, Region, snapshot::snapshot};
///
/// # fn read_by_probe() -> Result<[u8; REGION_LEN], Error> {
/// #     let mut bytes = [0; REGION_LEN];
/// #     bytes[0] = 7;
/// #     Ok(bytes)
/// # }
/// // `read_by_probe` reads 128 bytes of the target's memory.
/// let copy = snapshot(InnerShareable, read_by_probe)?;
/// let holder = Region::new(&copy)?.holder(InnerShareable);
/// assert_eq!(holder.map(|holder| holder.token.get()), Some(7));
/// # Ok::<(), Error>(())
/// ```
pub fn snapshot<F: Fence, E>(
    fence: F,
    mut copy: impl FnMut() -> Result<[u8; REGION_LEN], E>,
) -> Result<RegionMemory, E> {
    let mut before = copy()?;
    for _ in 1..READ_ATTEMPTS {
        // Pairs with both `release` in `write_encoded`: one copy is made after the other.
        fence.acquire();
        let now = copy()?;
        if describe_the_same(&before, &now) {
            return Ok(RegionMemory::of_words(Words::of_bytes(&now)));
        }
        before = now;
    }
    let torn = Words::of_bytes(&before);
    // Partner: none; the copy is private. Odd is "being written".
    torn.record_sequence.store(1, Relaxed);
    Ok(RegionMemory::of_words(torn))
}

/// Returns `true` if both copies have the same record. The owner word may differ: the record's
/// token tells which owner it describes. The count of contended acquisitions may differ too: it
/// lies between the words of the record and is none of them.
fn describe_the_same(one: &[u8; REGION_LEN], other: &[u8; REGION_LEN]) -> bool {
    const RECORD: usize = offset_of!(Words, uuid);
    const COUNT: usize = offset_of!(Words, contended);
    const DESCRIPTION: usize = offset_of!(Words, description);
    one[RECORD..COUNT] == other[RECORD..COUNT] && one[DESCRIPTION..] == other[DESCRIPTION..]
}
