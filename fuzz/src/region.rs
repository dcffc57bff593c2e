//! Runs scenarios of the core: claims 128 bytes in every way, then runs sessions of three handles
//! on the same bytes. Their calls mix with protocol steps of other tokens and with plain writes.

mod handles;
mod scribbler;
mod steps;
mod waiting;

use arbitrary::Arbitrary;
use shmlock_core::layout::{MAGIC as OURS, Magic, REGION_ALIGN, REGION_LEN};
use shmlock_core::record::description;
use shmlock_core::uuid::Uuid;
use shmlock_core::{Error, FenceScope, Record};

use crate::memory::{Bytes, MAGIC, Memory};
use handles::{Act, Handles};
use steps::Step;

/// A scenario of one region.
#[derive(Debug, Arbitrary)]
pub struct Scenario {
    bytes: Bytes,
    start: Start,
    /// The offset and the length of each claim of the memory as a region.
    claims: Vec<(u8, u8)>,
    sessions: Vec<Session>,
}

/// The initial content of the region.
#[derive(Debug, Arbitrary)]
enum Start {
    Untouched,
    Ours,
    /// Ours, with a complete record of the owner.
    Recorded,
    Any,
}

/// Three handles, from creation to drop.
#[derive(Debug, Arbitrary)]
struct Session {
    records: [Option<RecordInput>; 3],
    full_system: bool,
    calls: Vec<Call>,
    /// Forget the remaining guards instead of dropping them.
    leaks: bool,
}

#[derive(Debug, Arbitrary)]
enum Call {
    By(u8, Act),
    Bare(Step),
}

/// The fields of a record.
#[derive(Debug, Arbitrary)]
struct RecordInput {
    uuid: [u8; 16],
    numbers: (u32, u32, u64),
    text: String,
}

impl RecordInput {
    fn record(&self) -> Record {
        let mut ends = (0..=self.text.len()).rev().filter(|&end| self.text.is_char_boundary(end));
        let description =
            ends.find_map(|end| description(&self.text[..end]).ok()).unwrap_or_default();
        let (pid, pid_namespace, since) = self.numbers;
        Record { uuid: Uuid::from_bytes(self.uuid), pid, pid_namespace, since, description }
    }
}

impl Session {
    fn fence(&self) -> FenceScope {
        if self.full_system { FenceScope::FullSystem } else { FenceScope::InnerShareable }
    }

    fn play(&self, memory: &Memory, alone: bool) {
        let Ok(region) = memory.region_at(0, REGION_LEN) else { return };
        let locks = handles::open(region, self.fence(), &self.records);
        let mut handles = Handles::new(memory, &locks, &self.records, alone);
        for call in &self.calls {
            match call {
                Call::By(handle, act) => handles.act(usize::from(*handle) % locks.len(), act),
                Call::Bare(step) => step.play(memory, region, self.fence(), alone),
            }
        }
        let known = handles.end(self.leaks);
        handles::close(memory, locks, &known, alone);
    }
}

impl Scenario {
    /// Runs the scenario without another writer: every byte is known.
    pub fn play_alone(&self) {
        let bytes = self.start();
        for &(offset, len) in &self.claims {
            claim(&bytes, usize::from(offset % 8), usize::from(len));
        }
        let memory = Memory::holding(&bytes, REGION_LEN);
        for session in &self.sessions {
            session.play(&memory, true);
        }
    }

    /// Runs the scenario while a thread writes at random.
    pub fn play_beside_a_scribbler(&self) {
        let memory = scribbler::scribbled_on(&self.start());
        for session in &self.sessions {
            session.play(memory, false);
        }
    }

    fn start(&self) -> Bytes {
        match self.start {
            Start::Untouched => self.bytes.with(MAGIC, 0),
            Start::Ours => self.bytes.with(MAGIC, OURS),
            Start::Recorded => self.bytes.with(MAGIC, OURS).recorded(),
            Start::Any => self.bytes,
        }
    }
}

/// Claims memory as a region. It is refused for a true reason, or its magic word is written;
/// nothing else changes.
fn claim(bytes: &Bytes, offset: usize, len: usize) {
    let memory = Memory::holding(bytes, offset + len);
    let before = memory.bytes();
    let at = if offset % REGION_ALIGN == 0 { before.word(offset + MAGIC) } else { 0 };
    // A heap address is a multiple of four, so the offset decides.
    let expected = match Magic::decode(at) {
        _ if offset % REGION_ALIGN != 0 => {
            Err(Error::Misaligned { remainder: offset % REGION_ALIGN })
        }
        _ if len < REGION_LEN => Err(Error::TooShort { len }),
        Magic::Ours | Magic::Untouched => Ok(()),
        Magic::OtherVersion(found) => Err(Error::OtherVersion { found }),
        Magic::Foreign => Err(Error::NotALock { found: at }),
    };
    assert_eq!(memory.region_at(offset, len).map(drop), expected);
    let after = if expected.is_ok() { before.with(offset + MAGIC, OURS) } else { before };
    assert_eq!(memory.bytes(), after);
}
