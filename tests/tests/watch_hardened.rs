//! Checks the watch in sandboxes that trap or refuse its calls, and beside a process that has taken
//! both slots.

#![allow(unsafe_code, reason = "seccomp and sigaction in libc")]

use std::thread;
use std::time::Duration;

use shmlock_tests::hostile::{Denied, Folder, If, Intruder, Mode, Solo, deny, fork};
use shmlock_tests::{alone, proc, until};

const HERE: &str = "a lock";
const HOUR: Duration = Duration::from_secs(3600);
const WAITERS: u32 = 1 << 31;

fn recover(lock: &shmlock::ShmLock) {
    let guard = lock.lock().expect("its owner dies");
    guard.declare_consistent().expect("held");
}

/// Refuses the call that has been trapped.
#[cfg(target_arch = "x86_64")]
extern "C" fn refuse(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the context of the interrupted thread to a handler with
    // `SA_SIGINFO`.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = -i64::from(libc::ENOSYS);
}

/// Has the kernel send SIGSYS at `inotify_init1(2)`, to a handler that refuses the call.
#[cfg(target_arch = "x86_64")]
fn trap_inotify() {
    // SAFETY: plain data, for which all zero is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = refuse as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: a valid pointer; the handler is async-signal-safe.
    let set = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let number = u32::try_from(libc::SYS_inotify_init1).expect("a number");
    let mut filter = [
        step(0x20, 0, 0, 0),      // the number of the call
        step(0x15, number, 0, 1), // is it this one?
        step(0x06, libc::SECCOMP_RET_TRAP, 0, 0),
        step(0x06, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: no pointer.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: a valid program.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) }, 0);
    // SAFETY: no pointer.
    assert_eq!(unsafe { libc::syscall(libc::SYS_inotify_init1, 0) }, -1, "refused, and alive");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_sandbox_that_traps_a_call_of_the_watch_and_refuses_it_does_not_kill_the_process() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = folder.owner();
        let file = Intruder::on(&folder.file("l"));
        let waiter = fork(|_| {
            let lock = folder.lock("l").open().expect(HERE);
            trap_inotify();
            recover(&lock);
        });
        until(|| file.watchers() == 1); // by naps
        owner.kill();
        waiter.ends_well();
    });
}

#[test]
fn where_the_thread_may_not_poll_a_death_is_noticed_by_naps() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = folder.owner();
        let file = Intruder::on(&folder.file("l"));
        let waiter = fork(|line| {
            let lock = folder.lock("l").poll_interval(Duration::from_secs(5)).open().expect(HERE);
            let denied = |call| Denied { call, when: If::Called, errno: libc::EPERM };
            line.say(i64::from(deny(&[denied(libc::SYS_ppoll)])));
            recover(&lock);
        });
        if waiter.line().hear() == 1 {
            until(|| file.watchers() == 1);
        } else {
            shmlock_tests::skipped("a call that is refused");
        }
        owner.kill();
        waiter.ends_well();
    });
}

/// Both slots are another's, so that only the tick can notice the death.
#[test]
fn a_short_interval_that_joins_a_long_one_bounds_the_tick() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = folder.owner();
        let file = Intruder::on(&folder.file("l"));
        assert!(file.lock(Mode::Write, &((1 << 30) + 2..=(1 << 30) + 3)));
        let waiters = fork(|line| {
            thread::scope(|scope| {
                // One of the two has no part in the watch.
                for _ in 0..2 {
                    scope.spawn(|| {
                        let lock = folder.lock("l").poll_interval(HOUR).open().expect(HERE);
                        drop(lock.lock());
                    });
                }
                line.wait();
                scope.spawn(|| recover(&folder.lock("l").open().expect(HERE)));
            });
        });
        let pid = waiters.pid().unsigned_abs();
        until(|| file.owner_word() & WAITERS != 0);
        proc::comes_to_rest(pid);
        waiters.line().ready();
        proc::comes_to_rest(pid);
        owner.kill();
        waiters.ends_well();
    });
}
