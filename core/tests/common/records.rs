//! Makes records that a reader recognises, and gives the offsets of their fields.

use shmlock_core::fence::InnerShareable;
use shmlock_core::record::description;
use shmlock_core::uuid::Uuid;
use shmlock_core::{Record, Region, Token};

use super::{Random, RawMemory, token};

pub(crate) const OWNER: usize = 0;
pub(crate) const PID: usize = 32;
pub(crate) const SEQUENCE: usize = 52;
pub(crate) const RECORD_TOKEN: usize = 56;
pub(crate) const DESCRIPTION: usize = 64;

/// Returns a record whose fields all follow from one number, and the owner (one of two) that writes
/// it.
pub(crate) fn derived(number: u32) -> (Token, Record) {
    let mut random = Random(number.into());
    let record = Record {
        uuid: Uuid::from_u64_pair(random.long(), random.long()),
        pid: random.word(),
        pid_namespace: random.word(),
        since: number.into(),
        description: description(&number.to_string().repeat(random.below(9) as usize))
            .expect("short"),
    };
    (token(1 + number % 2), record)
}

pub(crate) fn write(region: Region<'_>, number: u32) {
    let (me, record) = derived(number);
    region.write_record(me, &record, InnerShareable);
}

/// Returns memory that the owner of this number holds, with its record.
pub(crate) fn held(number: u32) -> RawMemory {
    let memory = RawMemory::zeroed();
    write(memory.region(), number);
    memory.set(OWNER, derived(number).0.get());
    memory
}

pub(crate) fn read(memory: &RawMemory) -> Option<Record> {
    memory.region().holder(InnerShareable).expect("held").record
}
