//! Tests the owner record of a ticket lock as C sets and reads it.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use core::ptr::{null, null_mut};
use std::sync::atomic::Ordering::Relaxed;

use common::described;
use common::tickets::{Party, Tickets, inspect};
use shmlock_core_c::record::{Holder, Record};
use shmlock_core_c::status::Status;
use shmlock_core_c::ticket_acquire::shmlock_core_ticket_try_acquire;
use shmlock_core_c::ticket_hold::shmlock_core_ticket_release;
use shmlock_core_c::ticket_record::shmlock_core_ticket_inspect;

const NONE: Record =
    Record { since: 0, pid: 0, pid_namespace: 0, uuid: [0; 16], description: [0; 64] };

#[test]
fn a_record_is_set_at_once_or_from_the_next_acquisition_on_and_removed() {
    for parties in 2..=8 {
        let memory = Tickets::zeroed();
        // SAFETY: 644 bytes of atomics.
        let look = || unsafe { inspect(memory.address(), 644, parties) }.expect("a ticket lock");
        let mut party = memory.party(parties, parties);
        assert_eq!(party.set_record(&described(b"motor")), Status::Ok);
        assert_eq!(look().token, 0, "free");
        assert_eq!(party.call(shmlock_core_ticket_try_acquire), Status::Ok);
        assert_eq!((look().token, look().record), (parties, described(b"motor")));
        assert_eq!(party.set_record(&described(b"pump")), Status::Ok);
        assert_eq!((look().recorded, look().record), (true, described(b"pump")));
        assert_eq!(party.call(shmlock_core_ticket_release), Status::Ok);
        assert_eq!((look().token, look().recorded, look().record), (0, false, NONE));
        assert_eq!(party.set_record(null()), Status::Ok);
        assert_eq!(party.call(shmlock_core_ticket_try_acquire), Status::Ok);
        assert_eq!((look().token, look().record), (parties, NONE));
    }
}

#[test]
fn a_bad_record_is_refused_and_the_old_one_stays() {
    let memory = Tickets::zeroed();
    let mut party = memory.party(3, 1);
    assert_eq!(party.set_record(&described(b"motor")), Status::Ok);
    assert_eq!(party.call(shmlock_core_ticket_try_acquire), Status::Ok);
    let (motor, no_text) = (described(b"motor"), described(b"\xff\xfe"));
    let endless = described(&[b'x'; 64]);
    let misaligned = (&raw const motor).wrapping_byte_add(4);
    for (record, refusal) in [
        (&raw const motor, Status::Ok),
        (misaligned, Status::Misaligned),
        (&raw const no_text, Status::BadDescription),
        (&raw const endless, Status::BadDescription),
    ] {
        assert_eq!(party.set_record(record), refusal);
        assert_eq!(memory.inspect().map(|holder| holder.record), Ok(motor));
    }
    assert_eq!(Party::unattached().set_record(&raw const motor), Status::NotAttached);
}

#[test]
fn a_look_at_something_else_is_refused_and_writes_nothing() {
    let memory = Tickets::zeroed();
    let address = memory.address();
    let ticket = |parties, version| u32::from_le_bytes([b'T', b'K', parties, version]);
    let free = Holder { token: 0, recoveries: 0, owner_died: false, recorded: false, record: NONE };
    for (magic, address, len, parties, expected) in [
        (0, address, 320, 3, Ok(free)),
        (ticket(3, 1), address, 320, 3, Ok(free)),
        (0, null_mut(), 320, 3, Err(Status::Null)),
        (0, address.wrapping_byte_add(2), 320, 3, Err(Status::Misaligned)),
        (0, address, 319, 3, Err(Status::TooShort)),
        (0, address, 644, 1, Err(Status::BadParties)),
        (0, address, 644, 9, Err(Status::BadParties)),
        (1, address, 320, 3, Err(Status::NotALock)),
        (u32::from_le_bytes(*b"SHL\x01"), address, 320, 3, Err(Status::NotALock)),
        (ticket(4, 1), address, 320, 3, Err(Status::OtherParties)),
        (ticket(3, 2), address, 320, 3, Err(Status::OtherVersion)),
    ] {
        memory.0[2].store(magic, Relaxed);
        let before = memory.words();
        // SAFETY: 644 bytes of atomics, or refused.
        assert_eq!(unsafe { inspect(address, len, parties) }, expected);
        assert_eq!(memory.words(), before);
    }
    for (to, refusal) in [
        (null_mut(), Status::Null),
        (null_mut::<Holder>().wrapping_byte_add(1), Status::Misaligned),
    ] {
        // SAFETY: refused before anything is written.
        assert_eq!(unsafe { shmlock_core_ticket_inspect(address, 320, 3, to) }, refusal);
    }
}

/// A write to the memory would end the test by SIGSEGV.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn a_look_needs_no_permission_to_write() {
    const LEN: usize = 4096;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let page = unsafe { libc::mmap(null_mut(), LEN, protection, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: a mapping of this test.
    let protect = |how| assert_eq!(unsafe { libc::mprotect(page, LEN, how) }, 0);
    protect(libc::PROT_READ);
    // SAFETY: a page of zeros.
    assert_eq!(unsafe { inspect(page, LEN, 3) }.map(|holder| holder.token), Ok(0));

    protect(protection);
    let mut party = Party::unattached();
    assert_eq!(party.attach(page, LEN, 3, 2, 0), Status::Ok);
    assert_eq!(party.set_record(&described(b"motor")), Status::Ok);
    assert_eq!(party.call(shmlock_core_ticket_try_acquire), Status::Ok);
    protect(libc::PROT_READ);
    // SAFETY: a page with a ticket lock.
    let holder = unsafe { inspect(page, LEN, 3) }.expect("a ticket lock");
    assert_eq!((holder.token, holder.record), (2, described(b"motor")));
    // SAFETY: no code uses it any more.
    assert_eq!(unsafe { libc::munmap(page, LEN) }, 0);
}
