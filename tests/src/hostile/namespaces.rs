//! Forks children with other process ids, users or clocks than this process, namespaces(7). For
//! tests that run [`alone`](fn@crate::hostile::alone) only.

#![allow(unsafe_code, reason = "clone, clone3 and unshare")]

use std::fs;
use std::io::{self, Write};

use crate::hostile::process_tree::{Child, Line, split_bare};
use crate::skip::skipped;

/// A namespace of the child's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// Process ids: the child is process 1, and the processes of its namespace end with it.
    Pids,
    /// User ids, of which it has none at first: see [`Child::become_root`].
    Users,
}

/// Forks a child with a namespace of its own; where that is not allowed, reports that the test is
/// skipped.
#[must_use]
pub fn fork_apart(apart: Apart, body: impl FnOnce(&Line)) -> Option<Child> {
    let (what, namespace) = match apart {
        Apart::Pids => ("process ids of a child's own", libc::CLONE_NEWPID),
        Apart::Users => ("user ids of a child's own", libc::CLONE_NEWUSER),
    };
    let flags = libc::SIGCHLD | namespace;
    // SAFETY: as for `raw_clone`; none of these flags shares memory.
    let child = split_bare(|| unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) }, body);
    or_skip(what, child)
}

/// Forks a child with this process id, which has to be free in our own namespace of processes.
/// Where that is not possible, reports that the test is skipped. clone3(2).
#[must_use]
pub fn fork_as(pid: libc::pid_t, body: impl FnOnce(&Line)) -> Option<Child> {
    let address = (&raw const pid).expose_provenance() as u64;
    // In the order of `struct clone_args`, linux/sched.h: flags, pidfd, child_tid, parent_tid,
    // exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup.
    let arguments: [u64; 11] =
        [0, 0, 0, 0, libc::SIGCHLD.unsigned_abs().into(), 0, 0, 0, address, 1, 0];
    // SAFETY: as for `raw_clone`; the arguments and the one number that they point to are valid.
    let clone =
        || unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    or_skip("a process with an id of our choice", split_bare(clone, body))
}

/// Shifts the monotonic and the boot-time clock of all later children `seconds` ahead. Where that
/// is not allowed, reports that the test is skipped. `time_namespaces(7)`.
///
/// # Panics
/// If the kernel refuses the shift.
#[must_use]
pub fn shift_clocks(seconds: i64) -> bool {
    const CLONE_NEWTIME: libc::c_int = 0x80;
    // SAFETY: unshare(2) touches no memory.
    let answer = unsafe { libc::unshare(CLONE_NEWTIME) };
    let unshared = if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) };
    if or_skip("clocks of a child's own", unshared).is_none() {
        return false;
    }
    let offsets = format!("monotonic {seconds} 0\nboottime {seconds} 0\n");
    fs::write("/proc/self/timens_offsets", offsets).expect("no process is in the namespace yet");
    true
}

fn or_skip<T>(what: &str, result: io::Result<T>) -> Option<T> {
    if let Err(error) = &result {
        skipped(&format!("no {what} here: {error}"));
    }
    result.ok()
}

/// Makes this child, which was [forked](fork_apart) with [`Apart::Users`], one of the users of its
/// namespace, in this group.
///
/// By the bare system calls: libc's functions wait for threads, which the child of a bare clone(2)
/// only seems to have.
///
/// # Panics
/// If there are no such user and group.
pub fn be_user_apart(uid: u32, gid: u32) {
    #[cfg(target_pointer_width = "64")]
    let [set_group, set_user] = [libc::SYS_setresgid, libc::SYS_setresuid];
    #[cfg(target_pointer_width = "32")]
    let [set_group, set_user] = [libc::SYS_setresgid32, libc::SYS_setresuid32];
    for (call, id) in [(set_group, gid), (set_user, uid)] {
        // SAFETY: a call that takes three numbers.
        let answer = unsafe { libc::syscall(call, id, id, id) };
        assert_eq!(answer, 0, "{id}: {}", io::Error::last_os_error());
    }
}

impl Child {
    /// Maps root of the child's user namespace to this process's user, `user_namespaces(7)`.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn become_root(&self) {
        self.map(0, rustix::process::geteuid().as_raw(), 0, rustix::process::getegid().as_raw());
    }

    /// Maps one user of the child's namespace, with the number `inside` there and `outside` here,
    /// and root's group, with the number 65534 there.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn map_user(&self, inside: u32, outside: u32) {
        self.map(inside, outside, 65534, 0);
    }

    fn map(&self, user: u32, user_here: u32, group: u32, group_here: u32) {
        let set = |file: &str, text: String| {
            let file = format!("/proc/{}/{file}", self.pid());
            // In one write(2), to a file that exists.
            let written = fs::OpenOptions::new()
                .write(true)
                .open(&file)
                .and_then(|mut to| to.write_all(text.as_bytes()));
            written.unwrap_or_else(|error| panic!("{file}: {error}"));
        };
        set("setgroups", "deny".to_owned());
        set("uid_map", format!("{user} {user_here} 1"));
        set("gid_map", format!("{group} {group_here} 1"));
    }
}
