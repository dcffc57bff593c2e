//! A logger for programs that have none: the terminal at one level, a file at another.
//!
//! The lock only ever calls the `log` facade; nothing here is installed by itself. A program with a
//! logger of its own has no use for this.

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use log::{Level, LevelFilter, SetLoggerError};
use rustix::io::Errno;

/// What becomes a line of the log.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When.
    pub time: SystemTime,
    /// The logger's name.
    pub name: &'a str,
    /// How grave.
    pub level: Level,
    /// What.
    pub message: &'a fmt::Arguments<'a>,
}

impl fmt::Display for Line<'_> {
    /// `2026-01-31T12:00:00.000Z - name - INFO - message`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_rfc3339_millis(self.time);
        write!(f, "{time} - {} - {} - {}", self.name, self.level, self.message)
    }
}

type Format = Arc<dyn Fn(&Line<'_>) -> String + Send + Sync>;

/// Builds the process's logger.
///
/// It is what the Python package has in `create_logger(name, level, file_path, level_file,
/// use_colored_logs, fmt)`: [`new`](Self::new), [`level`](Self::level), [`file`](Self::file) with
/// its level, [`colors`](Self::colors), [`format`](Self::format). But it is the whole process's, as
/// Rust's loggers are, and not each lock's own.
///
/// What the locks log, each with name, uuid and description: at `Debug` that one was opened, tried
/// in vain and why, acquired, was released, is being closed; at `Warn` that a dead owner was
/// replaced, that a handle was used in a forked child, that a guard was leaked, that the owner word
/// was overwritten.
///
/// It holds no lock while it writes, so a child that is forked while another thread logs can log as
/// well. A line that cannot be written is lost.
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
    /// A logger with the name `shmlock`.
    fn default() -> Self {
        Self::new("shmlock")
    }
}

impl Logger {
    /// A logger of this name: to standard error from `Info` on, in colours if that is a terminal,
    /// to no file.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            level: LevelFilter::Info,
            file: None,
            colors: true,
            format: Arc::new(|line| line.to_string()),
        }
    }

    /// What goes to standard error.
    pub fn level(mut self, level: LevelFilter) -> Self {
        self.level = level;
        self
    }

    /// Appends to a file as well, at a level of its own.
    pub fn file(mut self, path: impl AsRef<Path>, level: LevelFilter) -> Self {
        self.file = Some((path.as_ref().to_owned(), level));
        self
    }

    /// Whether standard error gets colours. It never does if it is no terminal, or if `NO_COLOR` is
    /// set.
    pub fn colors(mut self, colors: bool) -> Self {
        self.colors = colors;
        self
    }

    /// How a line looks. Default: `time - name - level - message`.
    pub fn format(mut self, format: impl Fn(&Line<'_>) -> String + Send + Sync + 'static) -> Self {
        self.format = Arc::new(format);
        self
    }

    /// Makes it the process's logger.
    ///
    /// # Errors
    /// The file cannot be opened, or the process has a logger already.
    pub fn install(self) -> io::Result<()> {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colors = self.colors && !no_color && io::stderr().is_terminal();
        let mut both = fern::Dispatch::new()
            .chain(self.output(self.level, colors).chain(lines_to(io::stderr())));
        if let Some((path, level)) = &self.file {
            let file = fern::log_file(path).map_err(|error| named(path, &error))?;
            both = both.chain(self.output(*level, false).chain(lines_to(file)));
        }
        both.apply()
            .map_err(|error: SetLoggerError| io::Error::new(io::ErrorKind::AlreadyExists, error))
    }

    fn output(&self, level: LevelFilter, colors: bool) -> fern::Dispatch {
        let (name, format) = (self.name.clone(), Arc::clone(&self.format));
        fern::Dispatch::new().level(level).format(move |out, message, record| {
            #[allow(clippy::disallowed_methods, reason = "a log says what the wall clock said")]
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

/// Writes each line by one write(2), and under no lock of this process: a fork by another thread
/// would leave that locked in the child, whose first line would wait for ever. A file is open for
/// appending, so lines do not mix there either.
fn lines_to(sink: impl AsFd + Send + Sync + 'static) -> fern::Output {
    fern::Output::call(move |record| {
        write_whole(sink.as_fd(), format!("{}\n", record.args()).as_bytes());
    })
}

/// As much of it as can be written: a logger has nobody to tell that it cannot.
fn write_whole(sink: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(sink, bytes) {
            Ok(written @ 1..) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// The parameter of the terminal's "select graphic rendition", ECMA-48.
fn color_of(level: Level) -> Option<u8> {
    match level {
        Level::Error => Some(31),
        Level::Warn => Some(33),
        Level::Info => None,
        Level::Debug => Some(32),
        Level::Trace => Some(34),
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
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
