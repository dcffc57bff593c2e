//! Calls the named lock's interface for C in any order, with handles that are open, closed, copied,
//! NULL or misaligned, and options of any size. A bad caller gets an error, and nothing else.

#![allow(unsafe_code, reason = "calls functions for C")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "each pointer is valid, or wrong in a way that the function notices: the scenario"
)]

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr::{null, null_mut};

use arbitrary::Arbitrary;
use shmlock_c::acquire::{
    shmlock_force_release, shmlock_lock, shmlock_lock_for, shmlock_release, shmlock_try,
};
use shmlock_c::error::Failure;
use shmlock_c::event::{
    Event, shmlock_event_clear, shmlock_event_close, shmlock_event_open, shmlock_event_set,
};
use shmlock_c::handle::Lock;
use shmlock_c::hold::{shmlock_declare_consistent, shmlock_fencing_token, shmlock_is_held};
use shmlock_c::holder::{Holder, shmlock_get_holder, shmlock_recovered};
use shmlock_c::open::{shmlock_clone, shmlock_close, shmlock_describe, shmlock_open, shmlock_path};
use shmlock_c::options::Options;
use shmlock_c::state::{State, shmlock_get_state, shmlock_inspect};
use shmlock_c::status::{Status, shmlock_message};

use crate::shell::TempDir;

/// Calls of one program, on three handles and an event.
#[derive(Debug, Arbitrary)]
pub struct Scenario {
    calls: Vec<(Place, Details, Call)>,
}

/// The pointer that is passed as a handle.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Place {
    Handle(u8),
    Misaligned(u8),
    CopyOf(u8),
    Null,
}

/// The pointer that is passed for the details of an error.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Details {
    Written,
    Null,
    Misaligned,
}

#[derive(Debug, Arbitrary)]
enum Call {
    Open(Option<Chosen>),
    Clone(Place),
    Close,
    Lock,
    LockFor(u8),
    Try,
    Release,
    ForceRelease,
    Declare,
    Token(bool),
    Holder(bool),
    Recovered(bool),
    State(bool),
    Inspect(Option<Chosen>),
    Describe(Option<Vec<u8>>),
    Path(u16),
    OpenEvent,
    SetEvent,
    ClearEvent,
    CloseEvent,
    Message(i32),
}

/// Options, but for the directory, which is the scenario's.
#[derive(Debug, Arbitrary)]
struct Chosen {
    /// Difference from the right size; most often none.
    size: Option<i8>,
    flags: u8,
    mode: Option<u16>,
    reserved: Option<u32>,
    poll_interval_us: u8,
    description: Option<Vec<u8>>,
    has_event: bool,
    /// The bytes behind the struct.
    rest: [u8; 8],
}

/// One handle, and its expected state.
#[derive(Default)]
struct Slot {
    lock: Box<Lock>,
    is_open: bool,
    holds: u32,
}

struct Program {
    slots: [Slot; 3],
    copy: Box<Lock>,
    event: Box<Event>,
    details: Box<Failure>,
    directory: CString,
}

/// Options with bytes behind them.
#[repr(C)]
struct Longer {
    options: Options,
    rest: [u8; 8],
}

impl Scenario {
    /// Makes the calls, and closes the open handles.
    pub fn play(&self) {
        let tempdir = TempDir::clean();
        let directory = CString::new(tempdir.path().as_os_str().as_bytes()).expect("no NUL");
        let mut program = Program {
            slots: Default::default(),
            copy: Box::default(),
            event: Box::default(),
            // All zero is a value: the status 0, numbers, and empty text.
            details: Box::new(unsafe { std::mem::zeroed() }),
            directory,
        };
        for (place, details, call) in &self.calls {
            program.make(*place, *details, call);
        }
        for slot in &mut program.slots {
            if slot.is_open {
                assert_eq!(unsafe { shmlock_close(&raw mut *slot.lock, null_mut()) }, Status::Ok);
            }
        }
        let _ = unsafe { shmlock_event_close(&raw mut *program.event, null_mut()) };
        drop(program);
        assert!(tempdir.names().is_empty(), "a file is left");
    }
}

fn string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).expect("no NUL")
}

impl Program {
    /// Returns the pointer, and the slot of an open handle.
    fn at(&mut self, place: Place) -> (*mut Lock, Option<usize>) {
        let slot = |index: u8| usize::from(index) % 3;
        match place {
            Place::Handle(index) => {
                let found = &mut self.slots[slot(index)];
                (&raw mut *found.lock, Some(slot(index)))
            }
            Place::Misaligned(index) => {
                let found = &raw mut *self.slots[slot(index)].lock;
                (found.cast::<u8>().wrapping_add(1).cast(), None)
            }
            Place::CopyOf(index) => {
                let from = &raw const *self.slots[slot(index)].lock;
                let to = &raw mut *self.copy;
                unsafe { to.copy_from_nonoverlapping(from, 1) };
                (to, None)
            }
            Place::Null => (null_mut(), None),
        }
    }

    /// Returns `true` if another handle of this thread has the lock.
    fn is_held_by_another(&self, slot: usize) -> bool {
        self.slots.iter().enumerate().any(|(other, found)| other != slot && found.holds > 0)
    }

    fn make(&mut self, place: Place, details: Details, call: &Call) {
        let (at, slot) = self.at(place);
        let open = slot.filter(|slot| self.slots[*slot].is_open);
        let to = &raw mut *self.details;
        let details = match details {
            Details::Written => to,
            Details::Null => null_mut(),
            Details::Misaligned => to.cast::<u8>().wrapping_add(1).cast(),
        };
        let status = self.call(at, call, details);
        if let Some(expected) = refusal(place, open.is_some(), call) {
            assert_eq!(status, expected, "{call:?}");
            return;
        }
        let Some(slot) = slot else {
            if matches!((place, call, status), (Place::CopyOf(_), Call::Open(_), Status::Ok)) {
                assert_eq!(unsafe { shmlock_close(at, null_mut()) }, Status::Ok);
            }
            return;
        };
        let is_busy = self.is_held_by_another(slot);
        let found = &mut self.slots[slot];
        match call {
            Call::Open(_) => found.is_open |= status == Status::Ok,
            Call::Close => {
                assert_eq!(status, Status::Ok);
                (found.is_open, found.holds) = (false, 0);
            }
            Call::Lock | Call::LockFor(_) | Call::Try => {
                let is_held = status == Status::Ok;
                assert_eq!(is_held, !is_busy, "{call:?}: {status:?}");
                found.holds += u32::from(is_held);
            }
            Call::Release => {
                let expected = if found.holds > 0 { Status::Ok } else { Status::NotHeld };
                assert_eq!(status, expected);
                found.holds = found.holds.saturating_sub(1);
            }
            Call::ForceRelease => {
                assert_eq!(status, Status::Ok);
                found.holds = 0;
            }
            Call::Declare | Call::Token(true) => {
                let expected = if found.holds > 0 { Status::Ok } else { Status::NotHeld };
                assert_eq!(status, expected, "{call:?}");
            }
            _ => {}
        }
        let is_held = unsafe { shmlock_is_held(at) };
        assert_eq!(is_held, self.slots[slot].holds > 0, "{call:?}");
    }

    fn call(&mut self, at: *mut Lock, call: &Call, details: *mut Failure) -> Status {
        let event = &raw mut *self.event;
        match call {
            Call::Open(chosen) => self.with_options(chosen.as_ref(), |options| unsafe {
                shmlock_open(at, c"l".as_ptr(), options, details)
            }),
            Call::Inspect(chosen) => self.with_options(chosen.as_ref(), |options| unsafe {
                let mut state = State::default();
                shmlock_inspect(c"l".as_ptr(), options, &raw mut state, details)
            }),
            Call::Clone(to) => {
                let (copy, slot) = self.at(*to);
                let status = unsafe { shmlock_clone(at, copy, details) };
                if let (Status::Ok, Some(slot)) = (status, slot) {
                    self.slots[slot].is_open = true;
                } else if status == Status::Ok {
                    // A copy of a handle that is not open is one that is not open.
                    assert_eq!(unsafe { shmlock_close(copy, null_mut()) }, Status::Ok);
                }
                status
            }
            Call::Close => unsafe { shmlock_close(at, details) },
            Call::Lock => unsafe { shmlock_lock(at, details) },
            Call::LockFor(microseconds) => unsafe {
                shmlock_lock_for(at, u64::from(*microseconds) * 1000, details)
            },
            Call::Try => unsafe { shmlock_try(at, details) },
            Call::Release => unsafe { shmlock_release(at, details) },
            Call::ForceRelease => unsafe { shmlock_force_release(at, details) },
            Call::Declare => unsafe { shmlock_declare_consistent(at, details) },
            Call::Token(is_given) => {
                let mut token = 0;
                let token = if *is_given { &raw mut token } else { null_mut() };
                unsafe { shmlock_fencing_token(at, token, details) }
            }
            Call::Holder(is_given) => {
                let mut holder = Holder::default();
                let holder = if *is_given { &raw mut holder } else { null_mut() };
                unsafe { shmlock_get_holder(at, holder, details) }
            }
            Call::Recovered(is_given) => {
                let mut holder = Holder::default();
                let holder = if *is_given { &raw mut holder } else { null_mut() };
                unsafe { shmlock_recovered(at, holder, details) }
            }
            Call::State(is_given) => {
                let mut state = State::default();
                let state = if *is_given { &raw mut state } else { null_mut() };
                unsafe { shmlock_get_state(at, state, details) }
            }
            Call::Describe(text) => {
                let text = text.as_deref().map(string);
                let text = text.as_ref().map_or(null(), |text| text.as_ptr());
                unsafe { shmlock_describe(at, text, details) }
            }
            Call::Path(len) => {
                let (mut buffer, mut needed) = (vec![0 as c_char; usize::from(*len)], 0);
                let to = buffer.as_mut_ptr();
                unsafe { shmlock_path(at, to, buffer.len(), &raw mut needed, details) }
            }
            Call::OpenEvent => unsafe {
                shmlock_event_open(event, c"e".as_ptr(), self.directory.as_ptr(), 0, details)
            },
            Call::SetEvent => unsafe { shmlock_event_set(event, details) },
            Call::ClearEvent => unsafe { shmlock_event_clear(event, details) },
            Call::CloseEvent => unsafe { shmlock_event_close(event, details) },
            Call::Message(status) => {
                assert!(!shmlock_message(*status).is_null());
                Status::Ok
            }
        }
    }

    fn with_options(
        &self,
        chosen: Option<&Chosen>,
        call: impl FnOnce(*const Options) -> Status,
    ) -> Status {
        let known = size_of::<Options>();
        let directory = self.directory.as_ptr();
        let Some(chosen) = chosen else {
            let options = Options { directory, ..Options::default() };
            return call(&raw const options);
        };
        let description = chosen.description.as_deref().map(string);
        let longer = Longer {
            options: Options {
                // At most as many bytes as there are.
                size: known
                    .saturating_add_signed(isize::from(chosen.size.unwrap_or(0)))
                    .min(size_of::<Longer>()),
                flags: u32::from(chosen.flags),
                mode: u32::from(chosen.mode.unwrap_or(0)),
                reserved: chosen.reserved.unwrap_or(0),
                poll_interval_ns: u64::from(chosen.poll_interval_us) * 1000,
                directory,
                description: description.as_ref().map_or(null(), |text| text.as_ptr()),
                exit_event: if chosen.has_event { &raw const *self.event } else { null() },
                ..Options::default()
            },
            rest: chosen.rest,
        };
        call((&raw const longer).cast())
    }
}

/// Returns the status of a call whose handle cannot be used.
fn refusal(place: Place, is_open: bool, call: &Call) -> Option<Status> {
    if matches!(
        call,
        Call::Inspect(_)
            | Call::OpenEvent
            | Call::SetEvent
            | Call::ClearEvent
            | Call::CloseEvent
            | Call::Message(_)
    ) {
        return None;
    }
    let opens = matches!(call, Call::Open(_));
    match place {
        Place::Null => Some(Status::Null),
        Place::Misaligned(_) => Some(Status::Misaligned),
        _ if opens && is_open => Some(Status::AlreadyOpen),
        _ if opens || is_open => None,
        _ => Some(Status::NotOpen),
    }
}
