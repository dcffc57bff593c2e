//! Tests the generation: the fencing token grows with every acquisition, across its halves and
//! across deaths.

mod common;

use core::cell::Cell;

use common::RawMemory;
use shmlock_core::Fence;
use shmlock_core::fence::InnerShareable;

const GENERATION: usize = 4;
const GENERATION_HIGH: usize = 48;

fn counted(high: u32, low: u32) -> RawMemory {
    let memory = RawMemory::zeroed();
    memory.set(GENERATION, low);
    memory.set(GENERATION_HIGH, high);
    memory
}

fn next(memory: &RawMemory) -> u64 {
    memory.region().count_acquisition(InnerShareable);
    memory.region().fencing_token()
}

#[test]
fn the_generation_wraps_into_its_high_half() {
    let memory = counted(6, u32::MAX - 1);
    assert_eq!([(); 3].map(|()| next(&memory)), [0x6_FFFF_FFFF, 0x7_0000_0000, 0x7_0000_0001]);
}

#[test]
fn the_generation_never_goes_back_if_a_holder_dies_while_counting() {
    // 6_FFFF_FFFF has been used. The next owner died before its first store, between its stores, or
    // after both.
    for (high, low) in [(6, u32::MAX), (7, u32::MAX), (7, 0)] {
        let memory = counted(high, low);
        assert!(memory.region().fencing_token() >= 0x6_FFFF_FFFF);
        let numbers = [0x6_FFFF_FFFF, next(&memory), next(&memory), next(&memory)];
        assert!(numbers.is_sorted_by(|earlier, later| earlier < later), "{numbers:x?}");
    }
}

#[test]
fn the_generation_counts_on_from_any_garbage() {
    let mut random = common::Random(12);
    for _ in 0..common::rounds(1_000) {
        let memory = counted(random.word(), random.word());
        let before = memory.region().fencing_token();
        assert_eq!(next(&memory), before.wrapping_add(1));
    }
    assert_eq!(next(&counted(u32::MAX, u32::MAX)), 0, "the end of 64 bits is not a panic");
}

/// Records the two halves at each fence, where others may first see the stores before it.
#[derive(Clone, Copy)]
struct AtFence<'a>(&'a RawMemory, &'a Cell<Option<(u32, u32)>>);

impl Fence for AtFence<'_> {
    fn acquire(self) {}

    fn release(self) {
        self.1.set(Some((self.0.get(GENERATION_HIGH), self.0.get(GENERATION))));
    }
}

#[test]
fn a_fence_stands_between_the_high_half_and_the_wrap_of_the_low_half() {
    let (memory, seen) = (counted(6, u32::MAX), Cell::new(None));
    memory.region().count_acquisition(AtFence(&memory, &seen));
    assert_eq!(seen.take(), Some((7, u32::MAX)));
    memory.region().count_acquisition(AtFence(&memory, &seen));
    assert_eq!(seen.take(), None, "only the wrap needs a fence");
}
