//! Filters the system calls of a thread, seccomp(2).

#![allow(unsafe_code, reason = "prctl")]

use std::io;

use crate::skip::skipped;

/// A system call that is not carried out.
#[derive(Clone, Copy, Debug)]
pub struct Denied {
    /// Its number.
    pub call: libc::c_long,
    /// When it is denied.
    pub when: If,
    /// The errno with which it fails. 0 pretends that it succeeded; [`DEADLY`] kills the process.
    pub errno: libc::c_int,
}

/// In the place of an errno: the call kills the process.
pub const DEADLY: libc::c_int = -1;

/// A condition on the low half of an argument, counted from 0.
#[derive(Clone, Copy, Debug)]
pub enum If {
    /// Any call.
    Called,
    /// The argument is this number.
    Is(u32, libc::c_int),
    /// The argument has one of these bits.
    Has(u32, libc::c_int),
}

impl Denied {
    /// Denies a command of fcntl(2), by the number that libc uses for it.
    #[must_use]
    pub fn fcntl(command: libc::c_int, errno: libc::c_int) -> Self {
        #[cfg(target_pointer_width = "64")]
        let call = libc::SYS_fcntl;
        #[cfg(target_pointer_width = "32")]
        let call = libc::SYS_fcntl64;
        Self { call, when: If::Is(1, command), errno }
    }

    /// Denies reading the auxiliary vector from the kernel, as before Linux 6.4: it is then read
    /// from /proc.
    #[must_use]
    pub fn auxiliary_vector() -> Self {
        const PR_GET_AUXV: libc::c_int = 0x4155_5856;
        Self { call: libc::SYS_prctl, when: If::Is(0, PR_GET_AUXV), errno: libc::EINVAL }
    }

    /// Denies mapping shared memory, mmap(2).
    #[must_use]
    pub fn shared_mapping(errno: libc::c_int) -> Self {
        #[cfg(target_pointer_width = "64")]
        let call = libc::SYS_mmap;
        #[cfg(target_pointer_width = "32")]
        let call = libc::SYS_mmap2;
        Self { call, when: If::Has(3, libc::MAP_SHARED), errno }
    }

    /// Denies making a nameless file, openat(2) with `O_TMPFILE`.
    #[must_use]
    pub fn nameless(errno: libc::c_int) -> Self {
        /// The bit that distinguishes it from `O_DIRECTORY`.
        const TMPFILE: libc::c_int = libc::O_TMPFILE & !libc::O_DIRECTORY;
        Self { call: libc::SYS_openat, when: If::Has(2, TMPFILE), errno }
    }

    /// Denies allocating the memory of a file, fallocate(2).
    #[must_use]
    pub fn allocation(errno: libc::c_int) -> Self {
        Self { call: libc::SYS_fallocate, when: If::Called, errno }
    }

    /// Denies an advice of madvise(2).
    #[must_use]
    pub fn advice(advice: libc::c_int) -> Self {
        Self { call: libc::SYS_madvise, when: If::Is(2, advice), errno: libc::EINVAL }
    }
}

/// Denies the calling thread these calls from now on, seccomp(2). Where the kernel has no filters,
/// reports that the test is skipped.
#[must_use]
pub fn deny(calls: &[Denied]) -> bool {
    let refusal = |denied: &Denied| match denied.errno {
        DEADLY => libc::SECCOMP_RET_KILL_PROCESS,
        errno => libc::SECCOMP_RET_ERRNO | bits(errno),
    };
    let denied = install(&mut filter_by(calls, refusal));
    if let Err(error) = &denied {
        skipped(&format!("no seccomp filters here: {error}"));
    }
    denied.is_ok()
}

// linux/bpf_common.h, of which libc has only parts.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Returns a program of the classic Berkeley packet filter over `struct seccomp_data`: the call's
/// number at 0, the arguments of 64 bits from 16 on. That is right for little-endian machines, and
/// for programs that use one system-call ABI.
pub(super) fn filter_by(
    calls: &[Denied],
    answer: impl Fn(&Denied) -> u32,
) -> Vec<libc::sock_filter> {
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut program = Vec::new();
    for denied in calls {
        let number = u32::try_from(denied.call).expect("system calls are small numbers");
        let answer = step(RETURN, answer(denied), 0, 0);
        program.push(step(LOAD, 0, 0, 0));
        match denied.when {
            If::Called => program.extend([step(JUMP_IF_EQUAL, number, 0, 1), answer]),
            If::Is(argument, value) => program.extend([
                step(JUMP_IF_EQUAL, number, 0, 3),
                step(LOAD, 16 + 8 * argument, 0, 0),
                step(JUMP_IF_EQUAL, bits(value), 0, 1),
                answer,
            ]),
            If::Has(argument, value) => program.extend([
                step(JUMP_IF_EQUAL, number, 0, 3),
                step(LOAD, 16 + 8 * argument, 0, 0),
                step(JUMP_IF_SET, bits(value), 0, 1),
                answer,
            ]),
        }
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    program
}

fn bits(number: libc::c_int) -> u32 {
    u32::try_from(number).expect("not negative")
}

/// Allows this thread filters, and wraps a program for the kernel.
pub(super) fn prepare(program: &mut [libc::sock_filter]) -> io::Result<libc::sock_fprog> {
    let len = libc::c_ushort::try_from(program.len()).expect("a short program");
    // SAFETY: prctl(2) with numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    Ok(libc::sock_fprog { len, filter: program.as_mut_ptr() })
}

fn install(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = prepare(program)?;
    // SAFETY: a valid program, which the kernel checks and copies.
    checked(unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    })
}

/// Converts the answer of a system call.
pub(super) fn checked(answer: libc::c_int) -> io::Result<()> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
