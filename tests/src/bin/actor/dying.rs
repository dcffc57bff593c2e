//! Commands that end, fork or divide the process.

#![allow(unsafe_code, reason = "fork, waitpid, _exit and faults on purpose")]

use std::os::unix::process::CommandExt;
use std::ptr::null_mut;
use std::rc::Rc;
use std::{process, thread};

use crate::line::{self, Line};
use crate::state::{Done, State};

/// Ends this process with the test, and writes no core file.
pub(crate) fn with_parent() {
    // SAFETY: prctl(2) with two numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    in_time();
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// Ends the process by SIGALRM when the test has certainly ended. A forked child may outlive its
/// parent, and no signal tells it that the test is dead.
fn in_time() {
    let bound = u32::try_from(shmlock_tests::bound().as_secs()).unwrap_or(u32::MAX);
    // SAFETY: alarm(2) with a number.
    unsafe { libc::alarm(bound) };
}

/// Ends the process, or by `return` lets `main` return.
pub(crate) fn die(how: &str) -> Done {
    match how {
        "exit" => process::exit(0),
        // SAFETY: ends the process without running anything.
        "_exit" => unsafe { libc::_exit(0) },
        "abort" => process::abort(),
        "segv" => fault(),
        "memory" => eat(),
        "panic" => {
            std::panic::set_hook(Box::new(|_| {}));
            panic!("as told");
        }
        "exec" => panic!("{}", process::Command::new("true").exec()),
        "return" => Done::End,
        other => panic!("not a way to die: {other}"),
    }
}

/// Takes memory until the kernel kills this process, whose control group has to limit it to less
/// than this.
fn eat() -> ! {
    let eaten: Vec<Vec<u8>> = (0..256).map(|_| vec![1; 1 << 20]).collect();
    panic!("nothing bounds the memory of this process: it has {} MiB", eaten.len());
}

/// Writes to a page without access rights.
fn fault() -> ! {
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let page = unsafe {
        libc::mmap(null_mut(), 1, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    // SAFETY: mapped, and of no other user. The kernel sends SIGSEGV, as intended.
    unsafe { page.cast::<u8>().write_volatile(1) };
    unreachable!("the page was writable");
}

/// Forks. The child goes on with everything that it has, and listens to `socket`.
pub(crate) fn fork(state: &mut State, socket: &str) -> Done {
    // SAFETY: the tests that fork have one thread, or use nothing in the child that another may
    // have had locked.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            in_time();
            line::let_go_of_standard_streams();
            state.line = Line::to_socket(socket);
            Done::Silent
        }
        child => Done::Answer(child.to_string()),
    }
}

/// Starts a thread that listens to `socket`, and moves the handle to it if one is named.
pub(crate) fn thread(
    state: &mut State,
    socket: &str,
    id: Option<&str>,
    serve: fn(&mut State),
) -> Done {
    let socket = socket.to_owned();
    let given = id.map(|id| {
        let lock = state.locks.remove(id).expect("a lock of this id");
        (id.to_owned(), Rc::into_inner(lock).expect("no guard of it is alive"))
    });
    thread::spawn(move || {
        let mut state = State::new(Line::to_socket(&socket));
        if let Some((id, lock)) = given {
            state.locks.insert(id, Rc::new(lock));
        }
        serve(&mut state);
    });
    Done::well(())
}

/// Waits for a forked child.
pub(crate) fn reap(pid: libc::pid_t) -> String {
    let mut status = 0;
    // SAFETY: a valid pointer; waitpid(2) checks the number.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(answer, pid, "waitpid: {}", std::io::Error::last_os_error());
    if libc::WIFSIGNALED(status) {
        format!("signal {}", libc::WTERMSIG(status))
    } else {
        format!("exit {}", libc::WEXITSTATUS(status))
    }
}
