//! Describes breakpoints of this processor.
//!
//! x86-64 only. On ARM a loop of exclusive loads and stores never ends when it is single-stepped:
//! each trap clears the exclusive monitor.

#[cfg(target_arch = "x86_64")]
mod this {
    use std::mem::offset_of;

    /// `int3`.
    pub(in super::super) const TRAP: [u8; 1] = [0xcc];
    /// The offset of the program counter in the area that ptrace(2) calls USER.
    pub(in super::super) const PC: usize = offset_of!(libc::user_regs_struct, rip);
}

#[cfg(not(target_arch = "x86_64"))]
mod this {
    pub(in super::super) const TRAP: [u8; 1] = [0];
    pub(in super::super) const PC: usize = 0;
}

pub(super) use this::{PC, TRAP};

/// `true` where the constants of this file are real.
pub(super) const IS_KNOWN: bool = cfg!(target_arch = "x86_64");
