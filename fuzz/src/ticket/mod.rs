//! Runs scenarios of the ticket lock: any bytes in any word, deaths at any step, proofs, burials.

mod act;
mod parties;

use arbitrary::Arbitrary;
use shmlock_core::layout::REGION_ALIGN;
use shmlock_core::ticket::layout::{ticket_len, ticket_magic};
use shmlock_core::{Error, TicketRegion};

use crate::memory::Memory;
use crate::orders::{Event, noise};
use act::Act;
use parties::Parties;

/// The index of the magic word. Repeated on purpose, as are the offsets in `parties.rs`.
const MAGIC: usize = 2;

/// A scenario of one lock.
#[derive(Debug, Arbitrary)]
pub struct Scenario {
    parties: u8,
    start: Start,
    /// The offset and the length of a claim of the memory as a ticket lock.
    claim: (u8, u16),
    sessions: [Vec<Event<Act>>; 2],
}

/// The initial content of the memory.
#[derive(Debug, Arbitrary)]
enum Start {
    Zero,
    /// Noise everywhere, but for the lines of these parties.
    Noise {
        seed: u32,
        at_rest: u8,
    },
    /// Another magic word.
    Magic(u32),
}

impl Scenario {
    /// Runs the scenario.
    pub fn play(&self) {
        match self.parties % 3 {
            0 => self.play_with::<2>(),
            1 => self.play_with::<3>(),
            _ => self.play_with::<8>(),
        }
    }

    fn play_with<const N: usize>(&self) {
        let mut words = vec![0; ticket_len(N) / 4];
        let mut at_rest = u8::MAX;
        let magic = ticket_magic(TicketRegion::<N>::PARTIES);
        match self.start {
            Start::Zero => {}
            Start::Noise { seed, at_rest: lines } => {
                at_rest = lines;
                noise(&mut words, seed);
                for (party, line) in words[32..].chunks_exact_mut(16).enumerate() {
                    if lines >> party & 1 == 1 {
                        line.fill(0);
                    }
                }
                words[MAGIC] = magic;
            }
            Start::Magic(found) => words[MAGIC] = found,
        }
        claim::<N>(&words, usize::from(self.claim.0 % 8), usize::from(self.claim.1 % 1024));
        let memory = Memory::of_words(&words);
        let place = memory.ticket_place_at::<N>(0, ticket_len(N)).expect("aligned and whole");
        let Ok(region) = TicketRegion::at(place) else {
            assert_eq!(memory.copy(), words, "a refusal writes nothing");
            return;
        };
        words[MAGIC] = magic;
        assert_eq!(memory.copy(), words, "only the magic word is written");
        let mut clean: [bool; N] = std::array::from_fn(|party| at_rest >> party & 1 == 1);
        let mut shared_clean = !matches!(self.start, Start::Noise { .. });
        let mut undeclared = false;
        for events in &self.sessions {
            let parties = Parties::new(&memory, region, events, clean, shared_clean, undeclared);
            parties.play();
            (clean, shared_clean, undeclared) = parties.outcome();
        }
    }
}

/// Claims memory as a lock. It is refused for a true reason, or its magic word is written; nothing
/// else changes.
fn claim<const N: usize>(words: &[u32], offset: usize, len: usize) {
    let mut content = words.to_vec();
    content.resize((offset + len).div_ceil(4), 0);
    let memory = Memory::of_words(&content);
    let claimed = memory.ticket_place_at::<N>(offset, len).and_then(TicketRegion::at).map(drop);
    let index = offset / 4 + MAGIC;
    let magic = ticket_magic(TicketRegion::<N>::PARTIES);
    match claimed {
        Err(Error::Misaligned { remainder }) => {
            assert!(remainder != 0 && remainder == offset % REGION_ALIGN);
        }
        Err(Error::TooShort { len: found }) => assert!(found == len && len < ticket_len(N)),
        Ok(()) => {
            assert!(len >= ticket_len(N) && offset % REGION_ALIGN == 0);
            assert!([0, magic].contains(&content[index]));
            content[index] = magic;
        }
        Err(Error::NotALock { found }) => assert!(found == content[index] && found != magic),
        Err(Error::OtherParties { found }) => {
            assert_eq!(content[index], ticket_magic(found));
            assert_ne!(content[index], magic);
        }
        Err(Error::OtherVersion { found }) => {
            let [t, k, _, version] = content[index].to_le_bytes();
            assert_eq!((t, k, version), (b'T', b'K', found));
        }
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(memory.copy(), content);
}
