//! Forks in a signal handler after each instruction of a call that asks which process runs.
//!
//! With the trap flag set, the processor traps after each instruction, and Linux sends SIGTRAP
//! (`sigaction(2)`). After the chosen number of instructions the handler forks.

#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code, reason = "forks in a signal handler, and sets a processor flag")]

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicUsize};

use shmlock::process_generation;
use shmlock_tests::hostile::{Line, end_process, fork};
use shmlock_tests::{Capability, alone, can};

const TRAP_FLAG: i64 = 0x100;

/// How many instructions are left before the handler forks.
static LEFT: AtomicUsize = AtomicUsize::new(0);
/// The child that the handler forked; 0 in that child, and -1 before.
static FORKED: AtomicI32 = AtomicI32::new(-1);

/// Forks by the raw system call, and ends the traps in both processes.
extern "C" fn on_trap(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let left = LEFT.load(Relaxed);
    if left > 0 {
        LEFT.store(left - 1, Relaxed);
        return;
    }
    // SAFETY: without CLONE_VM this is fork(2); a null stack means the copy of ours.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    FORKED.store(i32::try_from(pid).unwrap_or(-1), Relaxed);
    // SAFETY: the kernel's argument of a handler with `SA_SIGINFO`; the only reference.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG;
}

/// Asks for the number of the process, and forks after `left` instructions. Reports the child's
/// status, or -1 if the call has fewer instructions.
fn ask_and_fork(left: usize, line: &Line) {
    LEFT.store(left, Relaxed);
    FORKED.store(-1, Relaxed);
    // SAFETY: all zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_flags = libc::SA_SIGINFO;
    action.sa_sigaction = on_trap as extern "C" fn(_, _, _) as usize;
    // SAFETY: a complete action, for a signal that has no other use here.
    assert_eq!(unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, null_mut()) }, 0);
    // SAFETY: sets only the trap flag; the handler is installed.
    unsafe { asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq") };
    let number = process_generation();
    // SAFETY: clears only the trap flag.
    unsafe { asm!("pushfq", "and dword ptr [rsp], 0xfffffeff", "popfq") };
    let pid = FORKED.load(Relaxed);
    if pid == 0 {
        end_process::at_once(if number == 0 { 3 } else { 0 });
    }
    let mut status = -1;
    if pid > 0 {
        // SAFETY: a valid pointer, and a child of ours.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    }
    line.say(status.into());
}

/// Sweeps over the instructions of the call, each in a process of its own, and returns how many
/// there are.
fn sweep(prepare: fn()) -> usize {
    let is_interrupted = |left| {
        let child = fork(|line| {
            prepare();
            ask_and_fork(left, line);
        });
        let status = child.line().hear();
        child.ends_well();
        assert!(status <= 0, "after {left} instructions: the child ended by status {status:#x}");
        status == 0
    };
    let mut left = 0;
    while is_interrupted(left) {
        left += 1;
    }
    left
}

/// 0 is the number of no process: a handle with it would belong to this process and to its
/// children.
#[test]
fn a_child_forked_anywhere_while_it_asks_for_its_number_does_not_get_that_of_no_process() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let _ = process_generation();
        let of_a_child = sweep(|| {}); // which has none yet
        let once_known = sweep(|| _ = process_generation());
        assert!(of_a_child > once_known && once_known > 5, "{of_a_child} and {once_known}");
    });
}
