//! Interrupts each call after each of its instructions, by a signal handler that uses its handle.
//!
//! With the trap flag set, the processor traps after each instruction, and Linux sends SIGTRAP
//! (`sigaction(2)`). The kernel clears the flag for the handler and restores it afterwards.

#![cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
#![allow(unsafe_code, reason = "handles signals, sets a processor flag, calls functions for C")]

mod common;

use core::arch::asm;
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::zeroed;
use core::ptr::{null, null_mut};
use std::num::NonZeroU16;
use std::sync::Once;

use common::tickets::Tickets;
use common::{Function, Memory, User};
use shmlock_core::{Error, Region, RegionLock, RegionMemory, TicketMemory};
use shmlock_core_c::acquire::shmlock_core_try_acquire;
use shmlock_core_c::attach::shmlock_core_detach;
use shmlock_core_c::handle::Handle;
use shmlock_core_c::hold::shmlock_core_release;
use shmlock_core_c::status::Status;
use shmlock_core_c::ticket::{shmlock_core_ticket_attach, shmlock_core_ticket_begin_life};
use shmlock_core_c::ticket_acquire::shmlock_core_ticket_try_acquire;
use shmlock_core_c::ticket_handle::TicketHandle;
use shmlock_core_c::ticket_hold::shmlock_core_ticket_release;

/// The distance between interrupted instructions. An unoptimised call has thousands, of which these
/// tests take a sample; `ci/ffi.sh` runs them in the release build, after every instruction.
const STRIDE: usize = if cfg!(debug_assertions) { 499 } else { 1 };

const TRAP_FLAG: i64 = 0x100;

/// What the handler does, and after how many instructions. Cells of the interrupted thread.
struct Plan {
    left: Cell<usize>,
    act: Cell<Option<fn()>>,
    /// Repeats after each instruction.
    always: Cell<bool>,
}

thread_local! {
    static PLAN: Plan = const {
        Plan { left: Cell::new(0), act: Cell::new(None), always: Cell::new(false) }
    };
    static HANDLE: Cell<*mut Handle> = const { Cell::new(null_mut()) };
    static LOCK: Cell<*const RegionLock<'static>> = const { Cell::new(null()) };
    static TICKET: Cell<*mut TicketHandle> = const { Cell::new(null_mut()) };
    static OWNERS: Cell<Owners> = const { Cell::new(Owners::NONE) };
    static RESULT: Cell<Option<Status>> = const { Cell::new(None) };
    static COUNTS: Cell<[u32; 2]> = const { Cell::new([0; 2]) };
}

extern "C" fn on_trap(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    PLAN.with(|plan| {
        if plan.left.get() > 0 && !plan.always.get() {
            plan.left.set(plan.left.get() - 1);
            return;
        }
        if let Some(act) = plan.act.get() {
            act();
        }
        if !plan.always.get() {
            plan.act.set(None);
            // SAFETY: the kernel's argument of a handler with `SA_SIGINFO`; the only reference.
            let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
            context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG;
        }
    });
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: all zero is a valid `sigaction`.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_flags = libc::SA_SIGINFO;
        action.sa_sigaction = on_trap as extern "C" fn(_, _, _) as usize;
        // SAFETY: a complete action, for a signal that has no other use here.
        assert_eq!(unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, null_mut()) }, 0);
    });
}

/// Runs `call`, with `act` after `left` of its instructions, or after each. Returns `false` if it
/// has fewer.
fn interrupted(left: usize, always: bool, act: fn(), call: impl FnOnce()) -> bool {
    install();
    PLAN.with(|plan| {
        plan.left.set(left);
        plan.always.set(always);
        plan.act.set(Some(act));
        // SAFETY: sets only the trap flag; the handler is installed.
        unsafe { asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq") };
        call();
        // SAFETY: clears only the trap flag.
        unsafe { asm!("pushfq", "and dword ptr [rsp], 0xfffffeff", "popfq") };
        plan.act.take().is_none()
    })
}

fn call(function: Function) -> Status {
    // SAFETY: a handle of this thread, interrupted by its signal handler: this is the test.
    unsafe { function(HANDLE.get()) }
}

/// Returns how many holds a call with this result adds.
fn adds(function: Function, status: Status) -> i32 {
    let is = |other: Function| core::ptr::fn_addr_eq(function, other);
    match status {
        Status::Ok if is(shmlock_core_try_acquire) => 1,
        Status::Ok if is(shmlock_core_release) => -1,
        _ => 0,
    }
}

/// Calls `main` on a handle with so many holds, and `inner` after `left` of its instructions.
fn nest(holds: i32, main: Function, inner: Function, left: usize) -> bool {
    let memory = Memory::zeroed();
    let (mut user, mut rival) = (User::of(&memory, 1), User::of(&memory, 2));
    for _ in 0..holds {
        assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
    }
    HANDLE.set(user.raw());
    RESULT.set(None);
    let act: fn() = if core::ptr::fn_addr_eq(inner, shmlock_core_detach as Function) {
        || RESULT.set(Some(call(shmlock_core_detach)))
    } else if core::ptr::fn_addr_eq(inner, shmlock_core_release as Function) {
        || RESULT.set(Some(call(shmlock_core_release)))
    } else {
        || RESULT.set(Some(call(shmlock_core_try_acquire)))
    };
    let mut result = Status::Unknown;
    let came = interrupted(left, false, act, || result = call(main));
    let Some(nested) = RESULT.get() else { return came };
    let what = format!(
        "{holds} holds, {main:?} returns {result:?}, {inner:?} returns {nested:?} after {left}"
    );
    let detached =
        core::ptr::fn_addr_eq(inner, shmlock_core_detach as Function) && nested == Status::Ok;
    let held = if detached { 0 } else { holds + adds(main, result) + adds(inner, nested) };
    assert_eq!(user.is_held(), held > 0, "{what}");
    assert_eq!(memory.get(0), u32::from(held > 0), "{what}");
    assert_eq!(
        rival.call(shmlock_core_try_acquire),
        if held > 0 { Status::Busy } else { Status::Ok },
        "{what}"
    );
    for _ in 0..held {
        assert_eq!(user.call(shmlock_core_release), Status::Ok, "{what}");
    }
    let last = if detached { Status::NotAttached } else { Status::NotHeld };
    assert_eq!(user.call(shmlock_core_release), last, "{what}");
    came
}

#[test]
fn a_handlers_call_after_any_instruction_is_refused_or_ordered_before_or_after() {
    for holds in [0, 1, 2] {
        for main in [shmlock_core_try_acquire as Function, shmlock_core_release] {
            for inner in
                [shmlock_core_try_acquire as Function, shmlock_core_release, shmlock_core_detach]
            {
                let mut left = 0;
                while nest(holds, main, inner, left) {
                    left += STRIDE;
                }
                assert!(left > 20, "only {left} instructions were interrupted");
            }
        }
    }
}

/// Acquires and releases the lock in a handler, or is refused.
fn acquire_and_release() {
    // SAFETY: lives until the test ends; the handler runs on its thread.
    let lock = unsafe { &*LOCK.get() };
    let [refused, acquired] = COUNTS.get();
    match lock.try_lock() {
        Ok(Some(guard)) => {
            assert_eq!((guard.owner_died(), guard.release()), (false, Ok(())));
            COUNTS.set([refused, acquired + 1]);
        }
        Err(Error::InUse) => COUNTS.set([refused + 1, acquired]),
        Ok(None) => assert!(!lock.word().is_owned_by(lock.token()), "the rival holds it"),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_that_leaves_the_handle_as_it_found_it_disturbs_no_call_of_a_region_lock() {
    let memory = RegionMemory::new();
    let lock = RegionLock::new(Region::new(&memory).expect("untouched"), NonZeroU16::MIN);
    let rival = RegionLock::new(Region::new(&memory).expect("ours"), NonZeroU16::MAX);
    LOCK.set((&raw const lock).cast());
    interrupted(0, true, acquire_and_release, || {
        for _ in 0..3 {
            let outer = lock.try_lock().expect("no call in progress").expect("free");
            let inner = lock.try_lock().expect("no call in progress").expect("ours");
            assert!(rival.try_lock().expect("no call in progress").is_none());
            drop(outer);
            assert!(lock.is_held());
            drop(inner);
            drop(rival.try_lock().expect("no call in progress").expect("free"));
        }
    });
    LOCK.set(null());
    let [refused, acquired] = COUNTS.get();
    assert!(refused > 20 && acquired > 20, "{refused} refused, {acquired} acquired");
    let recoveries = Region::new(&memory).expect("ours").recoveries();
    assert_eq!((lock.is_held(), lock.word().bits(), recoveries), (false, 0, 0));
}

/// Acquires and releases the ticket lock in a handler, or is refused.
fn acquire_and_release_a_ticket() {
    let [refused, acquired] = COUNTS.get();
    // SAFETY: a handle of this thread, interrupted by its signal handler: this is the test.
    match unsafe { shmlock_core_ticket_try_acquire(TICKET.get()) } {
        Status::Ok => {
            // SAFETY: as above.
            assert_eq!(unsafe { shmlock_core_ticket_release(TICKET.get()) }, Status::Ok);
            COUNTS.set([refused, acquired + 1]);
        }
        Status::InUse => COUNTS.set([refused + 1, acquired]),
        Status::Busy => {} // the rival holds it, or is about to
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_that_leaves_the_handle_as_it_found_it_disturbs_no_call_of_a_ticket_lock() {
    let memory = TicketMemory::<2>::new();
    let address: *mut c_void = (&raw const memory).cast_mut().cast();
    let mut handles = [TicketHandle::default(), TicketHandle::default()];
    let [one, rival] = handles.each_mut().map(|handle| &raw mut *handle);
    for (handle, party) in [(one, 1), (rival, 2)] {
        // SAFETY: handles of this thread, and 256 bytes of atomics.
        let attached = unsafe { shmlock_core_ticket_attach(handle, address, 256, 2, party, 0) };
        assert_eq!(attached, Status::Ok);
    }
    let call = |function: unsafe extern "C" fn(*mut TicketHandle) -> Status, handle| {
        // SAFETY: a handle of this thread.
        unsafe { function(handle) }
    };
    TICKET.set(one);
    interrupted(0, true, acquire_and_release_a_ticket, || {
        for _ in 0..3 {
            assert_eq!(call(shmlock_core_ticket_begin_life, one), Status::Ok);
            assert_eq!(call(shmlock_core_ticket_try_acquire, one), Status::Ok);
            assert_eq!(call(shmlock_core_ticket_try_acquire, one), Status::Ok);
            assert_eq!(call(shmlock_core_ticket_try_acquire, rival), Status::Busy);
            assert_eq!(call(shmlock_core_ticket_release, one), Status::Ok);
            assert_eq!(call(shmlock_core_ticket_release, one), Status::Ok);
            assert_eq!(call(shmlock_core_ticket_try_acquire, rival), Status::Ok);
            assert_eq!(call(shmlock_core_ticket_release, rival), Status::Ok);
        }
    });
    TICKET.set(null_mut());
    let [refused, acquired] = COUNTS.get();
    assert!(refused > 20 && acquired > 20, "{refused} refused, {acquired} acquired");
    assert_eq!(call(shmlock_core_ticket_release, one), Status::NotHeld);
    assert_eq!(call(shmlock_core_ticket_try_acquire, rival), Status::Ok);
}

/// Two handles that hold the lock in turn.
#[derive(Clone, Copy)]
struct Owners {
    handles: [*mut TicketHandle; 2],
    /// The instructions from one change to the next.
    interval: usize,
    /// The instructions so far.
    instructions: usize,
}

impl Owners {
    const NONE: Self = Self { handles: [null_mut(); 2], interval: 1, instructions: 0 };
}

/// Releases the lock, or acquires it by the next handle, if an interval is over.
fn change_owner() {
    let owners = OWNERS.get();
    let Owners { handles, interval, instructions } = owners;
    OWNERS.set(Owners { instructions: instructions + 1, ..owners });
    if instructions % interval == 0 {
        let change = instructions / interval;
        let handle = handles[change / 2 % 2];
        let function = [shmlock_core_ticket_try_acquire, shmlock_core_ticket_release][change % 2];
        // SAFETY: a handle of this thread.
        assert_eq!(unsafe { function(handle) }, Status::Ok);
    }
}

#[test]
fn owners_that_live_are_taken_for_no_death_while_the_lock_moves_during_a_look() {
    let mut longest = 0;
    // From short ones to those of a whole look, in this build.
    let (first, step, count) =
        if cfg!(debug_assertions) { (5 * STRIDE, 6 * STRIDE, 2) } else { (20, 7, 60) };
    for interval in (first..).step_by(step).take(count) {
        let memory = Tickets::zeroed();
        let parties = [memory.party(3, 1), memory.party(3, 2)];
        let handles = [parties[0].0, parties[1].0];
        OWNERS.set(Owners { handles, interval, instructions: 0 });
        let mut holder = None;
        interrupted(0, true, change_owner, || holder = Some(memory.inspect()));
        let Owners { instructions, .. } = OWNERS.get();
        let died = holder.expect("called").map(|holder| holder.owner_died);
        assert_eq!(died, Ok(false), "every {interval} of {instructions} instructions");
        longest = longest.max(instructions / interval);
    }
    OWNERS.set(Owners::NONE);
    assert!(longest > 5, "the lock changed hands {longest} times");
}
