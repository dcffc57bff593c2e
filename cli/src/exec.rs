//! Holds a command in the form of execve(2), so that a forked child needs no memory to become it.

#![allow(unsafe_code, reason = "execvp and execvpe, which take arrays of pointers")]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr;

use libc::c_char;

use crate::exit::{Failure, SYSTEM, UNAVAILABLE};

/// A program, its arguments and its environment.
pub(crate) struct Image {
    program: CString,
    arguments: Strings,
    /// `None` for the environment of this process, exactly as it is.
    environment: Option<Strings>,
}

/// Strings of C, and the array of pointers to them that ends with a null pointer.
struct Strings {
    pointers: Vec<*const c_char>,
    // The pointers lead here.
    _strings: Vec<CString>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Self {
        let ends = [ptr::null()];
        let pointers = strings.iter().map(|string| string.as_ptr()).chain(ends).collect();
        Self { pointers, _strings: strings }
    }
}

impl Image {
    /// Takes a program, which is looked for in `PATH` unless its name has a slash, its arguments,
    /// and variables that are added to the environment of this process.
    ///
    /// # Errors
    /// `InvalidInput` for a byte of value 0.
    pub(crate) fn new<'a>(
        program: &OsStr,
        arguments: impl IntoIterator<Item = &'a OsStr>,
        added: &[(&str, String)],
    ) -> io::Result<Self> {
        let program = CString::new(program.as_bytes())?;
        let mut all = vec![program.clone()];
        for argument in arguments {
            all.push(CString::new(argument.as_bytes())?);
        }
        let environment = if added.is_empty() { None } else { Some(with(added)?) };
        let arguments = Strings::new(all);
        Ok(Self { program, arguments, environment })
    }

    /// Becomes the program, exec(3). Returns only if that fails. Async-signal-safe in glibc and
    /// musl.
    pub(crate) fn become_it(&self) -> io::Error {
        let (program, arguments) = (self.program.as_ptr(), self.arguments.pointers.as_ptr());
        match &self.environment {
            // SAFETY: strings that end with a zero, and an array of them that ends with null.
            None => unsafe { libc::execvp(program, arguments) },
            // SAFETY: as above, and the environment is such an array as well.
            Some(all) => unsafe { libc::execvpe(program, arguments, all.pointers.as_ptr()) },
        };
        io::Error::last_os_error()
    }
}

/// Returns the environment of this process with these variables, which replace those of their name.
fn with(added: &[(&str, String)]) -> io::Result<Strings> {
    let is_added = |name: &OsString| added.iter().any(|(other, _)| *name == *other);
    let mut all = Vec::new();
    for (name, value) in std::env::vars_os().filter(|(name, _)| !is_added(name)) {
        all.push(CString::new([name.into_vec(), value.into_vec()].join(&b'='))?);
    }
    for (name, value) in added {
        all.push(CString::new(format!("{name}={value}"))?);
    }
    Ok(Strings::new(all))
}

/// Returns the failure for a program that cannot be executed.
pub(crate) fn cannot_execute(program: &OsStr, error: &io::Error) -> Failure {
    let is_path = program.as_encoded_bytes().contains(&b'/');
    let (code, remedy) = match error.raw_os_error() {
        Some(libc::ENOMEM) => (SYSTEM, "free memory"),
        Some(libc::EAGAIN) => {
            (SYSTEM, "raise the limit of processes (ulimit -u, or pids.max of the control group)")
        }
        Some(libc::EMFILE) => (SYSTEM, "close descriptors or raise their limit (ulimit -n)"),
        Some(libc::ENFILE) => (SYSTEM, "the whole system is out of descriptors; raise fs.file-max"),
        Some(libc::E2BIG) => (UNAVAILABLE, "shorten its arguments and the environment"),
        Some(libc::EACCES) => (
            UNAVAILABLE,
            "make it executable, its directories searchable, and check mount option noexec",
        ),
        Some(libc::ENOEXEC) => (UNAVAILABLE, "use a program for this machine"),
        Some(libc::ETXTBSY) => (UNAVAILABLE, "wait until it is written"),
        Some(libc::ENOENT) if is_path && Path::new(program).exists() => {
            (UNAVAILABLE, "its interpreter is missing: check its first line, or ldd(1)")
        }
        Some(libc::ENOENT) if is_path => (UNAVAILABLE, "check its path"),
        Some(libc::ENOENT) => (UNAVAILABLE, "check its name and PATH"),
        _ => (UNAVAILABLE, "see execve(2)"),
    };
    Failure::new(code, format!("cannot execute {:?}: {error}; {remedy}", program.to_string_lossy()))
}
