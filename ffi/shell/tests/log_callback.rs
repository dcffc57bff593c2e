//! Checks the log callback. Each test has a process of its own: the logger is the process's.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{from_ref, null_mut};

use common::User;
use shmlock_c::logger::shmlock_set_logger;
use shmlock_c::status::Status;
use shmlock_tests::alone;
use shmlock_tests::hostile::Solo;

type Lines = RefCell<Vec<(c_int, String)>>;

/// Notes a line.
unsafe extern "C" fn note(context: *mut c_void, level: c_int, text: *const c_char) {
    // SAFETY: the context of the test, which has one thread.
    let lines = unsafe { &*context.cast::<Lines>() };
    // SAFETY: a string, for as long as this call lasts.
    let text = unsafe { CStr::from_ptr(text) }.to_str().expect("UTF-8").to_owned();
    lines.borrow_mut().push((level, text));
}

#[test]
fn the_log_goes_to_the_function_of_c_until_that_is_taken_back() {
    alone!(|| {
        let fixture = Solo::new();
        let (name, lines) = (fixture.name("l"), Lines::default());
        let context = from_ref(&lines).cast_mut().cast();
        // SAFETY: a function that takes this context.
        let set = |level, to| unsafe { shmlock_set_logger(level, to, context, null_mut()) };
        assert_eq!(set(4, Some(note)), Status::Ok);
        let user = User::open(&name);
        assert_eq!((user.lock(), user.release()), (Status::Ok, Status::Ok));
        let said = lines.take();
        let said = |word| said.iter().any(|(level, text)| *level == 4 && text.contains(word));
        assert!(said("opened") && said("acquired") && said("released"), "{lines:?}");
        assert_eq!(set(2, Some(note)), Status::Ok);
        assert_eq!((user.lock(), user.release()), (Status::Ok, Status::Ok));
        assert_eq!(set(5, None), Status::Ok);
        assert_eq!((user.lock(), user.release()), (Status::Ok, Status::Ok));
        drop(user);
        assert!(lines.take().is_empty(), "debug events are below the level, or nothing is logged");
    });
}

/// What a function that takes lines does for each: it uses a lock of its own.
struct Writer {
    name: String,
    lines: Cell<u32>,
}

/// Writes a line under a lock.
unsafe extern "C" fn write(context: *mut c_void, _: c_int, _: *const c_char) {
    // SAFETY: the context of the test, which has one thread.
    let writer = unsafe { &*context.cast::<Writer>() };
    writer.lines.set(writer.lines.get() + 1);
    assert!(writer.lines.get() < 100, "it is called by what it does");
    let own = User::open(&writer.name);
    assert_eq!((own.try_once(), own.release(), own.close()), (Status::Ok, Status::Ok, Status::Ok));
}

#[test]
fn what_the_function_does_itself_is_not_told_to_it() {
    alone!(|| {
        let fixture = Solo::new();
        let writer = Writer { name: fixture.name("own"), lines: Cell::new(0) };
        let context = from_ref(&writer).cast_mut().cast();
        // SAFETY: a function that takes this context.
        let set = |to| unsafe { shmlock_set_logger(5, to, context, null_mut()) };
        assert_eq!(set(Some(write)), Status::Ok);
        let mut before = 0;
        for _ in 0..2 {
            drop(User::open(&fixture.name("l")));
            let told = writer.lines.replace(0);
            assert!(told > 0 && (before == 0 || told == before), "{told}, before {before}");
            before = told;
        }
        assert_eq!(set(None), Status::Ok);
    });
}

struct Silent;

impl log::Log for Silent {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        false
    }

    fn log(&self, _: &log::Record<'_>) {}

    fn flush(&self) {}
}

#[test]
fn a_logger_of_the_program_stays() {
    alone!(|| {
        let _fixture = Solo::new();
        log::set_logger(&Silent).expect("the first");
        // SAFETY: a function, which is not called.
        let set = unsafe { shmlock_set_logger(4, Some(note), null_mut(), null_mut()) };
        assert_eq!(set, Status::LoggerSet);
    });
}
