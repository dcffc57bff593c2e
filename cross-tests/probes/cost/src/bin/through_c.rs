//! Measures one undisturbed pair by the crate, through the shared library for C, and of a robust
//! mutex of pthread, in one run; and two calls of a function of the library that does nothing.
//!
//! ```text
//! through_c LIBRARY
//! ```
//!
//! The series of the four alternate, and each figure is the best of many: the least disturbed. Ends
//! by status 1 if the library costs more than [`AT_MOST`] times the crate and the two calls, or
//! more than the mutex. What a call costs depends on the processor: on an AMD EPYC, two take as
//! long as a pair of the crate.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::time::{Duration, Instant};
use std::{env, process};

use shmlock::ShmLock;
use shmlock_cost::pthread::Mutex;

const SERIES: u32 = 300;
const ROUNDS: u32 = 20_000;

/// The most that a pair through the library may cost beside its two calls, in pairs of the crate:
/// for the checks of the handle.
const AT_MOST: f64 = 1.3;

/// The status of a library that costs more.
const TOO_DEAR: i32 = 1;

/// A handle of C: `shmlock_t`, with space to spare.
#[repr(C, align(8))]
struct Handle([u64; 8]);

type Open = unsafe extern "C" fn(*mut Handle, *const c_char, *const c_void, *mut c_void) -> i32;
type Call = unsafe extern "C" fn(*mut Handle, *mut c_void) -> i32;
type Nothing = unsafe extern "C" fn() -> *const c_char;

/// Returns the address of a function of the library.
fn function(library: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: a library that stays loaded, and a string.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "no {name:?}");
    found
}

fn time(best: &mut Duration, mut pair: impl FnMut()) {
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        pair();
    }
    *best = (*best).min(begin.elapsed());
}

fn main() {
    let path = env::args().nth(1).expect("usage: through_c LIBRARY");
    let path = CString::new(path).expect("no NUL");
    // SAFETY: a string; the library's initialisers do nothing to this program.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!library.is_null(), "{path:?} cannot be loaded");
    // SAFETY: the function of this name has this type (shmlock.h).
    let open: Open = unsafe { std::mem::transmute(function(library, c"shmlock_open")) };
    // SAFETY: as above.
    let lock: Call = unsafe { std::mem::transmute(function(library, c"shmlock_lock")) };
    // SAFETY: as above.
    let release: Call = unsafe { std::mem::transmute(function(library, c"shmlock_release")) };
    // SAFETY: as above.
    let close: Call = unsafe { std::mem::transmute(function(library, c"shmlock_close")) };
    // SAFETY: as above.
    let nothing: Nothing = unsafe { std::mem::transmute(function(library, c"shmlock_version")) };

    let name = format!("shmlock-through-c-{}", process::id());
    let ours = ShmLock::open(&name).expect("a lock");
    let robust = Mutex::robust();
    let mut handle = Handle([0; 8]);
    let c_name = CString::new(name + "-c").expect("no NUL");
    // SAFETY: a handle that is zero and stays where it is, a string, and NULL where that is
    // allowed.
    let opened = unsafe { open(&raw mut handle, c_name.as_ptr(), null_mut(), null_mut()) };
    assert_eq!(opened, 0);

    let [mut rust, mut c, mut calls, mut pthread] = [Duration::MAX; 4];
    for _ in 0..SERIES {
        time(&mut rust, || {
            ours.acquire().expect("free");
            ours.release().expect("held");
        });
        time(&mut c, || {
            // SAFETY: an open handle.
            let acquired = unsafe { lock(&raw mut handle, null_mut()) };
            // SAFETY: as above.
            let released = unsafe { release(&raw mut handle, null_mut()) };
            assert_eq!((acquired, released), (0, 0));
        });
        time(&mut calls, || {
            // SAFETY: it has no conditions.
            let first = unsafe { nothing() };
            // SAFETY: as above.
            assert_eq!(first, unsafe { nothing() });
        });
        time(&mut pthread, || drop(robust.lock().expect("free")));
    }
    // SAFETY: an open handle.
    assert_eq!(unsafe { close(&raw mut handle, null_mut()) }, 0);

    drop(ours); // `exit` below drops nothing, and the file would stay

    let nanoseconds = |best: Duration| best.as_secs_f64() * 1e9 / f64::from(ROUNDS);
    let [rust, c, calls, pthread] = [rust, c, calls, pthread].map(nanoseconds);
    println!(
        "a pair: {rust:.1} ns in Rust, {c:.1} ns through the library for C ({:.2} times that; \
         {calls:.1} ns are the two calls), {pthread:.1} ns of a robust mutex",
        c / rust
    );
    if c - calls > AT_MOST * rust || c > pthread {
        process::exit(TOO_DEAR);
    }
}
