//! `probe-memory`: tries on a word of physical memory whether exclusive instructions work there.

#![allow(unsafe_code, reason = "the user promises what the memory is, by an option")]

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use shmlock::Errno;
use shmlock::remote::{
    ExclusivesOutcome, ExclusivesProbe, Memory, PhysicalError, ProbedAccess, ProbedWord,
    probe_exclusives,
};

use crate::args::seconds;
use crate::display::escaped;
use crate::exit::{CONFLICT, DATA, Failure, NO_INPUT, SYSTEM};

const AFTER: &str = "\
The word lock needs exclusive instructions (ldxr and stxr on AArch64, ldrex and
strex on ARMv7, lock cmpxchg on x86-64) that work on the memory it is in. Some
memory has no monitor for them: they never succeed there, or fault.

THE MACHINE MAY HANG OR CRASH. Some interconnects answer an exclusive access by
an abort that the kernel cannot survive, or not at all. So nothing is tried
without --yes-this-may-hang-the-machine. Save your work before.

A process of its own tries the word: it loads it, stores its complement by
exclusive instructions (a thousand attempts at most), and restores it. No other
word is written. No other party may use the word meanwhile, and it may not be a
register of a device.

PATH is a UIO device, /dev/mem, a buffer of u-dma-buf, a resource of a PCI
device, or a plain file. OFFSET is the physical address for /dev/mem. For UIO it
selects the memory: its number times the page size, plus an offset within a page.

\"works\" holds for this processor alone. WHETHER THE INSTRUCTIONS EXCLUDE OTHER
PROCESSORS IS NOT SHOWN: only a count shows it, in which all parties increment one
word under the lock.

Exit status:
  0   works
  1   never succeeds, faults, hangs, or stores something else
  64  the arguments are wrong, or the memory has no such word
  65  the file is no memory
  66  the file is not there, its driver is not, or access is denied
  71, 74  as in `shmlock --help`";

/// Try whether exclusive instructions work on a word of physical memory
///
/// It may hang or crash the machine: see --help.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The device or file
    path: PathBuf,

    /// The place of the word in it: bytes, such as 64 or 0x40; a multiple of 4
    #[arg(value_parser = offset)]
    offset: u64,

    /// Whether the memory is in this processor's caches; it cannot be found out
    ///
    /// For /dev/mem and u-dma-buf this decides how the kernel maps it. Memory of PCI
    /// devices is never cached; a plain file always is.
    #[arg(short, long, value_name = "KIND", verbatim_doc_comment)]
    memory: Kind,

    /// Kill the probing process after this time: at least 1
    #[arg(short, long, value_name = "SECS", default_value = "5", value_parser = bound)]
    bound: Duration,

    /// Try it, although the machine may hang or crash
    #[arg(long)]
    yes_this_may_hang_the_machine: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Cached,
    Uncached,
}

impl From<Kind> for Memory {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Cached => Self::Cached,
            Kind::Uncached => Self::Uncached,
        }
    }
}

/// Parses a time in which a process can be expected to start.
fn bound(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time < Duration::from_secs(1) {
        return Err("give a second or more: a process needs time to start".to_owned());
    }
    Ok(time)
}

/// Parses a number of bytes, decimal or hexadecimal.
fn offset(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "give bytes as a number, such as 64 or 0x40".to_owned())
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        if !self.yes_this_may_hang_the_machine {
            return Err(Failure::usage(
                "probing memory may hang or crash this machine, and nothing was tried; if that is \
                 acceptable, give --yes-this-may-hang-the-machine, see \
                 `shmlock probe-memory --help`",
            ));
        }
        // The parent may have made this process ignore SIGCHLD. The kernel then does not tell how a
        // child has ended.
        // SAFETY: the default action is no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: the user says by the option that the word is for this, and that the machine may
        // hang.
        let probed =
            unsafe { probe_exclusives(&self.path, self.offset, self.memory.into(), self.bound) };
        let found = probed.map_err(|error| failure(&error))?;
        let style = match found.outcome {
            ExclusivesOutcome::Work { .. } => AnsiColor::Green.on_default(),
            _ => AnsiColor::Red.on_default(),
        };
        self.write(&mut anstream::stdout(), style, &found)?;
        Ok(match found.outcome {
            ExclusivesOutcome::Work { .. } => 0,
            _ => CONFLICT,
        })
    }

    fn write(
        &self,
        out: &mut impl Write,
        style: Style,
        found: &ExclusivesProbe,
    ) -> std::io::Result<()> {
        let path = escaped(&self.path.to_string_lossy());
        let (verdict, detail) = described(found.outcome);
        writeln!(out, "{path} at {:#x}: {style}{verdict}{style:#}", self.offset)?;
        writeln!(out, "  exclusives  {detail}")?;
        writeln!(out, "  word        {}", word(found.word))?;
        let shows = "only a count by all parties, under the lock, shows it";
        writeln!(out, "  exclusion   not shown; {shows}")
    }
}

/// Returns the verdict, and what it means.
fn described(outcome: ExclusivesOutcome) -> (&'static str, String) {
    match outcome {
        ExclusivesOutcome::Work { refused: 0 } => {
            ("works", "the first store was performed".to_owned())
        }
        ExclusivesOutcome::Work { refused } => {
            ("works", format!("a store was performed after {refused} that were refused"))
        }
        ExclusivesOutcome::NeverSucceed => (
            "never succeeds",
            "a thousand stores were refused; the word lock would loop for ever here".to_owned(),
        ),
        ExclusivesOutcome::NotStored { found } => (
            "stores something else",
            format!(
                "the word held {found:#010x} after the store, against what the store had said; the \
                 word lock would have two holders here, unless another party writes to the word"
            ),
        ),
        ExclusivesOutcome::Fault { signal, during } => {
            let signal = match signal {
                libc::SIGBUS => "SIGBUS".to_owned(),
                libc::SIGSEGV => "SIGSEGV".to_owned(),
                libc::SIGILL => "SIGILL".to_owned(),
                other => format!("signal {other}"),
            };
            ("faults", format!("the process died by {signal} at {}", access(during)))
        }
        ExclusivesOutcome::Hang { during, killed } => {
            let end = if killed { "was killed" } else { "cannot even be killed" };
            ("hangs", format!("the process {end} at {}", access(during)))
        }
        _ => ("unknown", "this program is older than its library".to_owned()),
    }
}

fn access(during: ProbedAccess) -> &'static str {
    match during {
        ProbedAccess::Load => "the plain load before them: is there memory at all?",
        ProbedAccess::Exclusives => "the exclusive load and store",
        _ => "the plain store after them",
    }
}

fn word(word: ProbedWord) -> String {
    match word {
        ProbedWord::Untouched => "was not written".to_owned(),
        ProbedWord::Restored => "has its value again".to_owned(),
        ProbedWord::Unknown { before, written } => {
            format!("may hold {written:#010x}: write {before:#010x} back")
        }
        _ => "unknown".to_owned(),
    }
}

/// Returns what happened, and what to do in options of this program.
fn failure(error: &PhysicalError) -> Failure {
    use Errno as E;
    let code = match error {
        PhysicalError::NotMemory { .. } => DATA,
        PhysicalError::System {
            errno: E::NOENT | E::NOTDIR | E::ACCESS | E::PERM | E::NXIO | E::NODEV,
            ..
        } => NO_INPUT,
        PhysicalError::System { .. } | PhysicalError::BadAttribute { .. } => SYSTEM,
        _ => return Failure::usage(explained(error)),
    };
    Failure::new(code, explained(error))
}

fn explained(error: &PhysicalError) -> String {
    let message = error.message();
    let hint = match error {
        PhysicalError::NeverCached { .. } => Some("give --memory uncached"),
        error => error.hint(),
    };
    hint.map_or_else(|| message.to_string(), |hint| format!("{message}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(outcome: ExclusivesOutcome, word: ProbedWord) -> String {
        let args = Args {
            path: PathBuf::from("/dev/uio0\u{7}"),
            offset: 64,
            memory: Kind::Uncached,
            bound: Duration::ZERO,
            yes_this_may_hang_the_machine: true,
        };
        let mut text = Vec::new();
        args.write(&mut text, Style::new(), &ExclusivesProbe { outcome, word }).expect("memory");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn each_outcome_has_its_verdict_and_says_that_exclusion_is_not_shown() {
        let during = ProbedAccess::Exclusives;
        for (outcome, verdict, detail) in [
            (ExclusivesOutcome::Work { refused: 0 }, "works", "first"),
            (ExclusivesOutcome::Work { refused: 7 }, "works", "after 7"),
            (ExclusivesOutcome::NeverSucceed, "never succeeds", "for ever"),
            (ExclusivesOutcome::NotStored { found: 5 }, "stores something else", "0x00000005"),
            (ExclusivesOutcome::Fault { signal: libc::SIGBUS, during }, "faults", "SIGBUS"),
            (ExclusivesOutcome::Fault { signal: libc::SIGABRT, during }, "faults", "signal 6"),
            (ExclusivesOutcome::Hang { during, killed: true }, "hangs", "was killed"),
            (ExclusivesOutcome::Hang { during, killed: false }, "hangs", "cannot even"),
        ] {
            let text = written(outcome, ProbedWord::Restored);
            let first = text.lines().next().unwrap_or_default();
            assert_eq!(first, format!("/dev/uio0\\u{{7}} at 0x40: {verdict}"));
            assert!(text.contains(detail) && text.contains("exclusion   not shown"), "{text}");
        }
    }

    #[test]
    fn a_word_that_was_not_restored_is_given_with_both_values() {
        let word = ProbedWord::Unknown { before: 5, written: !5 };
        let text = written(ExclusivesOutcome::NeverSucceed, word);
        assert!(text.contains("may hold 0xfffffffa: write 0x00000005 back"), "{text}");
    }

    #[test]
    fn no_message_names_a_type_of_the_library() {
        let path = || PathBuf::from("/dev/x");
        let mut errors = vec![
            PhysicalError::NeverCached { path: path() },
            PhysicalError::Misaligned { path: path(), offset: 2 },
            PhysicalError::NoSuchMap { path: path(), map: 1 },
            PhysicalError::BeyondEnd { path: path(), end: 2, size: Some(1) },
        ];
        for operation in ["open", "map", "read", "fork", "watch", "inspect"] {
            errors.extend((1..134).map(Errno::from_raw_os_error).map(|errno| {
                PhysicalError::System { operation, path: path(), source: None, errno }
            }));
        }
        for error in errors {
            let text = explained(&error);
            assert!(!text.contains("::") && !text.contains(char::is_control), "{text}");
        }
    }
}
