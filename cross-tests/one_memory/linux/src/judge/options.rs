//! Parses the command line.

use std::path::PathBuf;
use std::time::Duration;

use shmlock_one_memory::LockKind;

/// The run that the judge performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Exact,
    Deaths,
    Control,
}

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) run: Run,
    pub(crate) lock: LockKind,
    /// The emulated machines. Each has a core that is reset with it.
    pub(crate) machines: u32,
    /// The cores of each machine that count.
    pub(crate) cores: u32,
    /// The processes that count, all of them one party.
    pub(crate) processes: usize,
    /// The time for which all parties count together.
    pub(crate) time: Duration,
    /// The length of a critical section, in spin hints.
    pub(crate) pauses: u32,
    /// The seed of all arbitrary moments.
    pub(crate) seed: u64,
    /// A directory in memory, for the file and the named lock.
    pub(crate) directory: PathBuf,
    /// QEMU with a machine and its program.
    pub(crate) machine: Vec<String>,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let run = match words.next().as_deref() {
            Some("exact") => Run::Exact,
            Some("deaths") => Run::Deaths,
            Some("control") => Run::Control,
            other => return Err(format!("unknown run {other:?}")),
        };
        let time = Duration::from_secs(10);
        let mut options = Self {
            run,
            lock: LockKind::Word,
            machines: 1,
            cores: 1,
            processes: 1,
            time,
            pauses: 0,
            seed: 1,
            directory: "/dev/shm".into(),
            machine: Vec::new(),
        };
        for word in words.by_ref().take_while(|word| word != "--") {
            options.set(&word)?;
        }
        options.machine = words.collect();
        if options.machine.is_empty() { Err("no machine after --".into()) } else { Ok(options) }
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        let unknown = || format!("unknown option {word}");
        let (name, value) = word.split_once('=').ok_or_else(unknown)?;
        let number = || value.parse::<u32>().map_err(|error| format!("{word}: {error}"));
        match (name, value) {
            ("lock", "none") => self.lock = LockKind::None,
            ("lock", "ticket") => self.lock = LockKind::Ticket,
            ("lock", "word") => self.lock = LockKind::Word,
            ("machines", _) => self.machines = number()?,
            ("cores", _) => self.cores = number()?,
            ("processes", _) => self.processes = number()? as usize,
            ("seconds", _) => self.time = Duration::from_secs(number()?.into()),
            ("pauses", _) => self.pauses = number()?,
            ("seed", _) => self.seed = number()?.into(),
            ("directory", _) => self.directory = value.into(),
            _ => return Err(unknown()),
        }
        Ok(())
    }
}
