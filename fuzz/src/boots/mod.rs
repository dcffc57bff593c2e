//! Runs scenarios of a roll of boots and a region with epoch tokens: any bytes in any word, resets
//! at any step, proofs by the roll, boots that a supervisor retires.

mod act;
mod cores;

use arbitrary::Arbitrary;
use shmlock_core::layout::{
    EPOCH_MAGIC, EPOCH_VERSION, MAGIC, Magic, REGION_ALIGN, REGION_LEN, ROLL_MAGIC, roll_len,
};
use shmlock_core::ticket::TicketRegion;
use shmlock_core::{Error, Token};

use crate::memory::Memory;
use crate::orders::{Event, noise};
use act::Act;
use cores::{CORES, Cores, REGION, ROLL, WORDS};

/// The index of the magic word, of a roll and of a lock. Repeated on purpose.
const MAGIC_AT: usize = 2;

/// A scenario of one roll and one region.
#[derive(Debug, Arbitrary)]
pub struct Scenario {
    start: Start,
    /// The offset and the length of a claim of the memory, as everything.
    claim: (u8, u8),
    /// A token to judge by the first words.
    owner: u16,
    events: Vec<Event<Act>>,
}

/// The initial content of the memory.
#[derive(Debug, Arbitrary)]
enum Start {
    /// A free lock, after this many boots of each core.
    Boots([u16; CORES]),
    Noise(u32),
    /// Other magic words of the roll and of the region.
    Magic(u32, u32),
}

impl Scenario {
    /// Runs the scenario.
    pub fn play(&self) {
        let mut words = vec![0; WORDS];
        match self.start {
            Start::Boots(boots) => {
                for (core, boots) in boots.into_iter().enumerate() {
                    words[ROLL + 4 + 2 * core] = boots.into();
                }
            }
            Start::Noise(seed) => {
                noise(&mut words, seed);
                words[ROLL + MAGIC_AT] = ROLL_MAGIC;
                words[REGION + MAGIC_AT] = EPOCH_MAGIC;
            }
            Start::Magic(roll, region) => {
                words[ROLL + MAGIC_AT] = roll;
                words[REGION + MAGIC_AT] = region;
            }
        }
        for (offset, len) in [(0, 256), (usize::from(self.claim.0 % 8), self.claim.1.into())] {
            claim(&words, offset, len);
        }
        let memory = Memory::of_words(&words);
        let roll = memory.roll_at(4 * ROLL, roll_len(3));
        let region = memory.epoch_region_at(4 * REGION, REGION_LEN);
        let (Ok(roll), Ok(region)) = (roll, region) else { return };
        if let Ok(owner) = Token::try_from(u32::from(self.owner)) {
            let slot = usize::from(self.owner >> 10);
            let over = (1..=CORES).contains(&slot) && {
                let [boots, retired] = [0, 1].map(|at| words[ROLL + 2 + 2 * slot + at]);
                is_over(u32::from(self.owner) % 1024, boots, retired)
            };
            assert_eq!(roll.is_over(owner), over, "{owner} {words:?}");
        }
        let clean = matches!(self.start, Start::Boots(_));
        Cores::new(&memory, roll, region, &self.events, clean).play();
    }
}

/// Returns `true` if a boot with this epoch has begun and all such boots are over: the boots that
/// had the epoch lately, one by one.
fn is_over(epoch: u32, boots: u32, retired: u32) -> bool {
    let boots = u64::from(boots);
    let mut had = false;
    for boot in boots.saturating_sub(1023).max(1)..=boots {
        if boot % 1024 == u64::from(epoch) {
            had = true;
            if boot == boots && boot != u64::from(retired) {
                return false;
            }
        }
    }
    had
}

/// Claims memory as each kind of lock, and as a roll. One kind at most is accepted, unless the
/// memory is untouched; the others are refused for a true reason, and write nothing.
fn claim(words: &[u32], offset: usize, len: usize) {
    let mut content = words.to_vec();
    content.resize((offset + len).div_ceil(4).max(WORDS), 0);
    let index = offset / 4 + MAGIC_AT;
    let mut accepted = 0;
    for (kind, magic) in [MAGIC, EPOCH_MAGIC, 0x0102_4b54, ROLL_MAGIC].into_iter().enumerate() {
        let memory = Memory::of_words(&content);
        let (least, answer) = match kind {
            0 => (REGION_LEN, memory.region_at(offset, len).map(drop)),
            1 => (REGION_LEN, memory.epoch_region_at(offset, len).map(drop)),
            2 => {
                let place = memory.ticket_place_at::<2>(offset, len);
                (256, place.and_then(TicketRegion::at).map(drop))
            }
            _ => (24, memory.roll_at(offset, len).map(drop)),
        };
        let found = content[index];
        let after = memory.copy();
        match answer {
            Ok(()) => {
                assert!(offset % REGION_ALIGN == 0 && len >= least);
                assert!(found == 0 || found == magic, "{found:#x} is no {magic:#x}");
                let mut claimed = content.clone();
                claimed[index] = magic;
                assert_eq!(after, claimed);
                accepted += u32::from(found != 0);
                continue;
            }
            Err(Error::Misaligned { remainder }) => assert_eq!(remainder, offset % REGION_ALIGN),
            Err(Error::TooShort { len: found } | Error::RollTooShort { len: found }) => {
                assert!(found == len && len < least);
            }
            Err(Error::PlainTokens) => assert!(kind == 1 && found == MAGIC),
            Err(Error::OtherVersion { found: version }) => {
                assert!(version == EPOCH_VERSION || Magic::decode(found) != Magic::Ours);
                assert_eq!(found.to_le_bytes()[3], version);
            }
            Err(Error::OtherParties { found: parties }) => {
                assert_eq!(found.to_le_bytes(), [b'T', b'K', parties, 1]);
            }
            Err(Error::OtherRollVersion { found: version }) => {
                assert_eq!(found.to_le_bytes(), [b'S', b'H', b'R', version]);
            }
            Err(Error::NotALock { found: word } | Error::NotARoll { found: word }) => {
                assert!(word == found && ![0, magic].contains(&word));
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(after, content, "a refusal writes nothing");
    }
    assert!(accepted <= 1, "two kinds in one place");
}
