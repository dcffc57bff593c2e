//! Installs a logger for programs that have none: the terminal at one level, a file at another.
//!
//! The lock itself calls only the `log` facade and installs nothing.

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use log::{Level, LevelFilter, SetLoggerError};
use rustix::io::Errno;

/// The parts of one line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The time of the call.
    pub time: SystemTime,
    /// The logger's name.
    pub name: &'a str,
    /// The level of the message.
    pub level: Level,
    /// The message.
    pub message: &'a fmt::Arguments<'a>,
}

impl fmt::Display for Line<'_> {
    /// Writes `2026-01-31T12:00:00.000Z - name - INFO - message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_rfc3339_millis(self.time);
        write!(f, "{time} - {} - {} - {}", self.name, self.level, self.message)
    }
}

type Format = Arc<dyn Fn(&Line<'_>) -> String + Send + Sync>;

/// Builds the logger of the process.
///
/// Its methods correspond to the parameters of the Python package's `create_logger(name, level,
/// file_path, level_file, use_colored_logs, fmt)`. A logger in Rust belongs to the process, not to
/// one lock.
///
/// Each line of a lock has its name, uuid and description. Locks log
///
/// * at `Debug`: opened, attempt failed and why, acquired, released, closing;
/// * at `Warn`: dead owner recovered, handle used in a forked child, guard leaked, owner word
///   overwritten.
///
/// # Limits
/// A line that cannot be written is lost. The logger holds no lock while it writes: a child forked
/// while another thread logs can log as well.
///
/// # Examples
/// ```no_run
/// use log::LevelFilter;
///
/// shmlock::Logger::new("conveyor")
///     .level(LevelFilter::Info)
///     .file("/var/log/conveyor.log", LevelFilter::Debug)
///     .install()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is installed before `install`"]
pub struct Logger {
    name: String,
    level: LevelFilter,
    file: Option<(PathBuf, LevelFilter)>,
    colors: bool,
    format: Format,
}

impl Default for Logger {
    /// Returns a logger with the name `shmlock`.
    fn default() -> Self {
        Self::new("shmlock")
    }
}

impl Logger {
    /// Returns a logger with this name. It writes to standard error from `Info` on, in colours on
    /// a terminal, and to no file.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            level: LevelFilter::Info,
            file: None,
            colors: true,
            format: Arc::new(|line| line.to_string()),
        }
    }

    /// Sets the level for standard error.
    pub fn level(mut self, level: LevelFilter) -> Self {
        self.level = level;
        self
    }

    /// Adds a file to which lines are appended, with its own level.
    pub fn file(mut self, path: impl AsRef<Path>, level: LevelFilter) -> Self {
        self.file = Some((path.as_ref().to_owned(), level));
        self
    }

    /// Sets whether standard error gets colours. It gets none if it is not a terminal, or if
    /// `NO_COLOR` is set.
    pub fn colors(mut self, colors: bool) -> Self {
        self.colors = colors;
        self
    }

    /// Sets the format of a line. The default is `time - name - level - message`.
    pub fn format(mut self, format: impl Fn(&Line<'_>) -> String + Send + Sync + 'static) -> Self {
        self.format = Arc::new(format);
        self
    }

    /// Installs the logger for the process.
    ///
    /// # Errors
    /// The error of open(2) if the file cannot be opened;
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the process has a logger.
    pub fn install(self) -> io::Result<()> {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colors = self.colors && !no_color && io::stderr().is_terminal();
        let mut both = fern::Dispatch::new()
            .chain(self.output(self.level, colors).chain(lines_to(io::stderr())));
        if let Some((path, level)) = &self.file {
            let file = fern::log_file(path).map_err(|error| cannot_open(path, &error))?;
            both = both.chain(self.output(*level, false).chain(lines_to(file)));
        }
        both.apply()
            .map_err(|error: SetLoggerError| io::Error::new(io::ErrorKind::AlreadyExists, error))
    }

    fn output(&self, level: LevelFilter, colors: bool) -> fern::Dispatch {
        let (name, format) = (self.name.clone(), Arc::clone(&self.format));
        fern::Dispatch::new().level(level).format(move |out, message, record| {
            #[allow(clippy::disallowed_methods, reason = "a log has the time of the wall clock")]
            let line =
                Line { time: SystemTime::now(), name: &name, level: record.level(), message };
            let text = format(&line);
            match color_of(record.level()) {
                Some(color) if colors => out.finish(format_args!("\x1b[{color}m{text}\x1b[0m")),
                _ => out.finish(format_args!("{text}")),
            }
        })
    }
}

/// Writes each line by one write(2), without a lock of this process.
///
/// A fork by another thread would leave such a lock locked in the child for ever. Lines do not mix
/// in the file either, because it is open for appending.
fn lines_to(sink: impl AsFd + Send + Sync + 'static) -> fern::Output {
    fern::Output::call(move |record| {
        write_all(sink.as_fd(), format!("{}\n", record.args()).as_bytes());
    })
}

/// Writes as much as possible: a logger has no caller that could handle an error.
fn write_all(sink: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(sink, bytes) {
            Ok(written @ 1..) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Returns the parameter of "select graphic rendition" (ECMA-48, `console_codes(4)`).
fn color_of(level: Level) -> Option<u8> {
    match level {
        Level::Error => Some(31),
        Level::Warn => Some(33),
        Level::Info => None,
        Level::Debug => Some(32),
        Level::Trace => Some(34),
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", path.display()))
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger")
            .field("name", &self.name)
            .field("level", &self.level)
            .field("file", &self.file)
            .field("colors", &self.colors)
            .finish_non_exhaustive()
    }
}
