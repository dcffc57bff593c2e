//! Reading a lock that can be copied but not mapped: by whoever may only read, through a file, over
//! a debug probe.
//!
//! One copy may be torn, for it takes time and the lock goes on meanwhile. Two copies, one after
//! the other, tell: what is the same in both, record sequence included, stood still from the middle
//! of the first to the middle of the second.

use core::mem::offset_of;

use crate::fence::Fence;
use crate::layout::{REGION_LEN, Words};
use crate::region::RegionMemory;
use crate::sync::Relaxed;

/// How many copies are made until two in a row agree. Arbitrary: a record is rewritten only when
/// the lock changes hands.
const COPIES: u32 = 16;

/// A private copy of a region, to be looked at through [`Region::new`](crate::Region::new); nothing
/// done to it reaches the lock. `copy` reads the 128 bytes, in any order.
///
/// A lock that changes hands faster than it can be copied gives a copy in which the record
/// describes nobody: who holds it is then known by the token only.
///
/// Blocks for as long as `copy` does, up to sixteen times.
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
/// let copy = snapshot(InnerShareable, read_by_probe)?; // a function that reads 128 bytes of the target's memory
/// let holder = Region::new(&copy)?.holder(InnerShareable);
/// assert_eq!(holder.map(|holder| holder.token.get()), Some(7));
/// # Ok::<(), Error>(())
/// ```
pub fn snapshot<F: Fence, E>(
    fence: F,
    mut copy: impl FnMut() -> Result<[u8; REGION_LEN], E>,
) -> Result<RegionMemory, E> {
    let mut before = copy()?;
    for _ in 1..COPIES {
        fence.acquire(); // pairs with both `release` in `write_record`: the copies are made one after the other
        let now = copy()?;
        if describe_the_same(&before, &now) {
            return Ok(RegionMemory::of_words(Words::of_bytes(&now)));
        }
        before = now;
    }
    let torn = Words::of_bytes(&before);
    // Partner: none, the copy is ours alone. Odd is "being written".
    torn.record_sequence.store(1, Relaxed);
    Ok(RegionMemory::of_words(torn))
}

/// Whether one record stands in both. The owner word may move: its record is that of the token it
/// names, or of nobody. So may the count of contended acquisitions, which lies between the words of
/// the record and is none of them.
fn describe_the_same(one: &[u8; REGION_LEN], other: &[u8; REGION_LEN]) -> bool {
    const RECORD: usize = offset_of!(Words, uuid);
    const COUNT: usize = offset_of!(Words, contended);
    const DESCRIPTION: usize = offset_of!(Words, description);
    one[RECORD..COUNT] == other[RECORD..COUNT] && one[DESCRIPTION..] == other[DESCRIPTION..]
}
