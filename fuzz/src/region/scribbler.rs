//! Writes random words into a region by 32-bit atomics, in an endless thread.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use shmlock_core::layout::REGION_LEN;

use crate::memory::{Bytes, DIED, MAGIC, Memory, OWNER, WAITERS};

/// Returns the region of this process that is overwritten, with these initial bytes.
/// All scenarios share one region and one thread, because starting a thread takes longer than most
/// scenarios. So a second run of a scenario may find other words.
pub(super) fn scribbled_on(bytes: &Bytes) -> &'static Memory {
    static MEMORY: OnceLock<&'static Memory> = OnceLock::new();
    let memory = MEMORY.get_or_init(|| {
        let memory: &'static Memory = Box::leak(Box::new(Memory::holding(bytes, REGION_LEN)));
        thread::spawn(|| {
            let mut random = Random(2_463_534_242);
            loop {
                scribble(memory, &mut random);
            }
        });
        memory
    });
    for (index, word) in memory.words().iter().enumerate() {
        word.store(bytes.word(index * 4), Relaxed);
    }
    memory
}

/// Writes one word. The magic word mostly stays, or the scenario would end too soon; the owner word
/// mostly names a token of the scenario.
fn scribble(memory: &Memory, random: &mut Random) {
    let (what, word) = (random.next(), random.next());
    let offset = match what % 4 {
        0 => OWNER,
        _ => what as usize / 4 % 32 * 4,
    };
    let word = match offset {
        OWNER if what & 0x100 == 0 => {
            word & (WAITERS | DIED) | [0, 1, 2, 65_535][what as usize >> 9 & 3]
        }
        MAGIC if what & 0xFFF0 != 0 => return,
        _ => word,
    };
    memory.words()[offset / 4].store(word, Relaxed);
}

/// Marsaglia's xorshift generator.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}
