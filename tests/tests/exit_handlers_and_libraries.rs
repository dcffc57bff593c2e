//! Checks exit handlers beside the signal handlers of tokio and signal-hook, installed in either
//! order.

#![allow(unsafe_code, reason = "kill(2), and signal(3) to undo what nohup(1) does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use shmlock::{ExitHandlers, Recovered, ShmLock};
use shmlock_tests::hostile::{Child, Line, Solo, fork};
use shmlock_tests::{alone, until};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal as tokio_signal};

const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

#[derive(Clone, Copy, Debug)]
enum Order {
    OursFirst,
    OursLast,
}

const ORDERS: [Order; 2] = [Order::OursFirst, Order::OursLast];

/// The library through which a program learns of a signal.
#[derive(Clone, Copy, Debug)]
enum Library {
    Tokio,
    HookIterator,
    HookFlag,
}

const LIBRARIES: [Library; 3] = [Library::Tokio, Library::HookIterator, Library::HookFlag];

impl Library {
    /// Installs its handler; the returned closure waits for the signal.
    fn listen(self, signal: i32) -> Box<dyn FnOnce()> {
        match self {
            Self::Tokio => {
                let runtime =
                    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let mut signals = runtime
                    .block_on(async { tokio_signal(SignalKind::from_raw(signal)) })
                    .expect("tokio's handler can be installed");
                Box::new(move || runtime.block_on(signals.recv()).expect("a signal"))
            }
            Self::HookIterator => {
                let mut signals =
                    Signals::new([signal]).expect("signal-hook's handler can be installed");
                Box::new(move || assert_eq!(signals.forever().next(), Some(signal)))
            }
            Self::HookFlag => {
                let flag = Arc::new(AtomicBool::new(false));
                signal_hook::flag::register(signal, Arc::clone(&flag))
                    .expect("signal-hook's handler can be installed");
                Box::new(move || until(|| flag.load(Ordering::Relaxed)))
            }
        }
    }
}

/// Installs the exit handlers, and `theirs` before or after them. The tests may run under nohup(1),
/// which ignores SIGHUP, so each action is reset first.
fn install<R>(order: Order, theirs: impl FnOnce() -> R) -> R {
    for signal in ENDING {
        // SAFETY: the default action is no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let ours = || ExitHandlers::all().install().expect("exit handlers can be installed");
    match order {
        Order::OursFirst => {
            ours();
            theirs()
        }
        Order::OursLast => {
            let theirs = theirs();
            ours();
            theirs
        }
    }
}

/// Threads that hold a lock each until they are told to end.
struct Holders(Vec<(Sender<()>, JoinHandle<()>)>);

impl Holders {
    fn start(names: &[String]) -> Self {
        let start = |name: &String| {
            let (name, (end, told)): (_, (_, Receiver<()>)) = (name.clone(), channel());
            let (holds, held) = channel();
            let thread = thread::spawn(move || {
                let lock = ShmLock::open(&name).expect("a lock");
                let guard = lock.lock().expect("free");
                holds.send(()).expect("it listens");
                let _ = told.recv();
                guard.release().expect("no other thread has released it");
            });
            held.recv().expect("it holds");
            (end, thread)
        };
        Self(names.iter().map(start).collect())
    }

    fn end(self) {
        for (end, thread) in self.0 {
            end.send(()).expect("it listens");
            thread.join().expect("no panic");
        }
    }
}

/// Sends the child a signal.
fn kill(child: &Child, signal: i32) {
    // SAFETY: kill(2) checks its numbers; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(child.pid(), signal) }, 0);
}

/// Returns what the next owner learns of the death, and declares the data consistent.
fn next_recovery(lock: &ShmLock) -> Option<Recovered> {
    let guard = lock.try_lock().expect("a lock").expect("it is free");
    let recovered = guard.recovered();
    guard.declare_consistent().expect("held");
    recovered
}

/// How a program ends after it has learned of the signal.
#[derive(Clone, Copy, Debug)]
enum End {
    /// All threads release, and `main` returns.
    InOrder,
    /// In the middle of all critical sections, by exit(3).
    Exit,
    /// In the middle of all critical sections, by SIGKILL.
    Killed,
}

/// Runs a program that installs its handlers in this order. Three threads hold a lock each when the
/// signal comes.
fn program(line: &Line, names: &[String], order: Order, library: Library, signal: i32, end: End) {
    let wait_for_signal = install(order, || library.listen(signal));
    let holders = Holders::start(&names[1..]);
    let lock = ShmLock::open(&names[0]).expect("a lock");
    let guard = lock.lock().expect("free");
    line.ready();
    wait_for_signal();
    line.ready(); // the graceful shutdown runs
    line.wait();
    match end {
        End::InOrder => {
            holders.end();
            guard.release().expect("no other thread has released it");
            drop(lock);
            std::process::exit(0);
        }
        End::Exit => std::process::exit(0),
        End::Killed => line.wait(),
    }
}

fn run_programs(end: End, judge: impl Fn(Child, &[ShmLock])) {
    let fixture = Solo::new();
    let names = ["main", "one", "two"].map(|part| fixture.name(part));
    for order in ORDERS {
        for library in LIBRARIES {
            for signal in ENDING {
                let child = fork(|line| program(line, &names, order, library, signal, end));
                child.line().wait();
                kill(&child, signal);
                child.line().wait();
                let locks = names.each_ref().map(|name| ShmLock::open(name).expect("a lock"));
                for lock in &locks {
                    let acquired = lock.try_lock().expect("a lock").is_some();
                    assert!(
                        !acquired,
                        "{order:?} {library:?} {signal}: released inside the critical section"
                    );
                }
                child.line().ready();
                judge(child, &locks);
            }
        }
    }
}

#[test]
fn a_graceful_shutdown_completes_whichever_handler_is_installed_first() {
    alone!(|| run_programs(End::InOrder, |child, locks| {
        child.ends_well();
        assert!(locks.iter().all(|lock| next_recovery(lock).is_none()));
    }));
}

#[test]
fn a_program_that_exits_in_its_critical_sections_is_reported_to_the_next_owners() {
    alone!(|| run_programs(End::Exit, |child, locks| {
        child.ends_well();
        let [of_the_exiting, others @ ..] = locks else { unreachable!() };
        assert_eq!(
            next_recovery(of_the_exiting).expect("it was cut short").dead,
            None,
            "by the exit handler"
        );
        for lock in others {
            assert!(
                next_recovery(lock).expect("it was cut short").dead.is_some(),
                "by the kernel's proof"
            );
        }
    }));
}

#[test]
fn a_killed_program_is_recovered_from_whichever_handler_is_installed_first() {
    alone!(|| run_programs(End::Killed, |child, locks| {
        child.kill();
        for lock in locks {
            assert!(next_recovery(lock).expect("it was killed").dead.is_some());
        }
    }));
}

/// Runs programs that the library's handler ends: by the signal's default action, or by `_exit`.
fn run_programs_that_the_handler_ends(handler: impl Fn(i32), judge: impl Fn(Child, i32)) {
    let fixture = Solo::new();
    let names = ["main", "one"].map(|part| fixture.name(part));
    for order in ORDERS {
        for signal in ENDING {
            let child = fork(|line| {
                install(order, || handler(signal));
                let _holders = Holders::start(&names[1..]);
                let lock = ShmLock::open(&names[0]).expect("a lock");
                let _guard = lock.lock().expect("free");
                line.ready();
                line.wait();
            });
            child.line().wait();
            let locks = names.each_ref().map(|name| ShmLock::open(name).expect("a lock"));
            kill(&child, signal);
            judge(child, signal);
            for lock in &locks {
                let recovery = next_recovery(lock).expect("it died");
                assert!(
                    recovery.dead.is_some(),
                    "{order:?} {signal}: released before its process ended"
                );
            }
        }
    }
}

#[test]
fn a_handler_that_emulates_the_default_action_ends_the_process_by_the_signal() {
    let handler = |signal| {
        // SAFETY: the action is async-signal-safe.
        let hooked = unsafe {
            signal_hook::low_level::register(signal, move || {
                let _ = emulate_default_handler(signal);
            })
        };
        hooked.expect("signal-hook's handler can be installed");
    };
    alone!(|| run_programs_that_the_handler_ends(handler, Child::ends_by));
}

#[test]
fn a_handler_that_shuts_down_at_once_ends_the_process_with_its_status() {
    let handler = |signal| {
        let at_once = Arc::new(AtomicBool::new(true));
        let hooked = signal_hook::flag::register_conditional_shutdown(signal, 0, at_once);
        hooked.expect("signal-hook's handler can be installed");
    };
    alone!(|| run_programs_that_the_handler_ends(handler, |child, _| child.ends_well()));
}
