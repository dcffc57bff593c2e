//! Implements [`Remoteproc`]: what Linux knows of another processor, remoteproc's files in sysfs.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use shmlock_core::fence::{Fence, FullSystem};

use crate::error::display::Shown;

/// The directory of all processors.
const CLASS: &str = "/sys/class/remoteproc";

/// The longest word that is read from a file. Longer than any that the kernel writes.
const WORD_MAX: usize = 64;

/// A processor that Linux starts and stops, by the framework remoteproc.
///
/// Each call reads the files anew. It blocks for as long as sysfs does, allocates, and is not
/// async-signal-safe. Nothing here writes: the supervisor disables the recovery itself, by writing
/// `disabled` to the file `recovery`, before it starts the processor.
///
/// # When a processor is held down
///
/// When its state is `offline` or `crashed` **and** its recovery is `disabled`. Otherwise the
/// kernel may start it again by itself at any moment. Each other state, and each word that this
/// version does not know, is no proof.
///
/// * `offline`: the kernel has stopped the processor, or has not started it yet.
/// * `crashed`: a driver has reported a crash: the processor's own report of a fatal error, a
///   watchdog, a fault of its memory unit. With the recovery disabled **the kernel leaves the
///   processor as it is** (`rproc_crash_handler_work`), and does not stop it. If the report of a
///   processor is no proof that it has ceased to write to memory, use
///   [`only_when_offline`](Self::only_when_offline).
///
/// *Sources:* `Documentation/ABI/testing/sysfs-class-remoteproc`, and
/// `drivers/remoteproc/remoteproc_sysfs.c` and `remoteproc_core.c` of the kernel. Older kernels
/// have the file `recovery` in debugfs only; nothing is proven there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remoteproc {
    directory: PathBuf,
    only_when_offline: bool,
}

/// The state of a processor, as the file `state` says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteprocState {
    /// Stopped, or not started yet.
    Offline,
    /// Suspended; it goes on when it is woken.
    Suspended,
    /// It runs.
    Running,
    /// A crash was reported.
    Crashed,
    /// Its device is being removed.
    Deleted,
    /// It runs, was started by another party than Linux, and Linux is attached to it.
    Attached,
    /// It runs, and Linux is not attached to it.
    Detached,
    /// Another word: of a later kernel, or `invalid`.
    Other(Box<str>),
}

/// What the kernel does about a crash, as the file `recovery` says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteprocRecovery {
    /// It starts the processor again.
    Enabled,
    /// It leaves the processor as it is.
    Disabled,
    /// Another word, of a later kernel.
    Other(Box<str>),
}

/// Both files, read one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteprocReading {
    /// The state.
    pub state: RemoteprocState,
    /// The recovery, read before the state.
    pub recovery: RemoteprocRecovery,
}

/// Why a processor's files could not be read. The processor is then held to be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteprocError {
    /// A system call failed.
    System {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The file does not hold one word.
    NoWord {
        /// The file.
        path: PathBuf,
    },
}

/// What came of an action that was to run while a processor is held down.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "only `Throughout` says that the processor was held down"]
pub enum HeldDown<R> {
    /// The processor was not held down. The action did not run.
    No(RemoteprocReading),
    /// Both readings found it held down, in the same state. The result of the action.
    Throughout(R),
    /// The action has run, and the second reading does not say the same as the first.
    InDoubt {
        /// The result of the action.
        result: R,
        /// The second reading.
        after: Result<RemoteprocReading, RemoteprocError>,
    },
}

impl Remoteproc {
    /// Returns the processor of this name, such as `remoteproc0`. Reads nothing yet.
    ///
    /// The numbers follow the order in which drivers were loaded; the file `name` beside `state`
    /// says which processor it is. A name with `/` is taken as a path.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::in_class(CLASS, name)
    }

    /// Returns the processor of this name in another directory than `/sys/class/remoteproc`: of a
    /// container, or of a test.
    #[must_use]
    pub fn in_class(class: impl AsRef<Path>, name: &str) -> Self {
        Self { directory: class.as_ref().join(name), only_when_offline: false }
    }

    /// Accepts only the state `offline` as held down, and no longer `crashed`.
    #[must_use]
    pub fn only_when_offline(mut self) -> Self {
        self.only_when_offline = true;
        self
    }

    /// Reads both files.
    ///
    /// # Errors
    /// [`RemoteprocError`].
    pub fn read(&self) -> Result<RemoteprocReading, RemoteprocError> {
        // In the other order, the recovery may be enabled when the state is read, and disabled
        // before it is read itself. The reading would not show that the kernel can start it.
        let recovery = RemoteprocRecovery::from_word(&self.word("recovery")?);
        let state = RemoteprocState::from_word(&self.word("state")?);
        Ok(RemoteprocReading { state, recovery })
    }

    /// Runs `act` if the processor is held down, and reads again afterwards.
    ///
    /// For a processor that never comes back, `act` declares its boot over
    /// ([`Roll::retire`](shmlock_core::roll::Roll::retire)). The boot that it names was read
    /// **before** this call. Then it is right whatever happens meanwhile: a processor that starts
    /// has another boot. The readings are no older than what the caller has read in the memory
    /// before.
    ///
    /// The first reading stands before `act`, the second one after it. [`HeldDown::Throughout`]
    /// says that both found the processor held down. It does not say that it was so in between:
    /// another program may have started and stopped it. What can happen *after* the second reading:
    ///
    /// * The kernel by itself: nothing. With the recovery disabled it starts no processor.
    /// * Another program may write `start` to `state`, or `recover` or `enabled` to `recovery`; or
    ///   a recovery that had begun before it was disabled may come to its end. Then the processor
    ///   boots. Firmware with boot epochs counts its epoch up before it uses a lock. Its token is
    ///   then a new one, and the old token, which `act` has declared dead, stays dead. Firmware
    ///   with a plain token finds its old token, so **no other program may start it**.
    ///
    /// # Errors
    /// Those of the first reading; `act` has not run then.
    ///
    /// # Examples
    /// A supervisor, for a processor with boot epochs. For a party of a ticket lock see
    /// [`PhysicalRegion::ticket_region`](super::PhysicalRegion::ticket_region).
    /// ```
    /// # let class = std::env::temp_dir().join(format!("doc-held-down-{}", std::process::id()));
    /// # std::fs::create_dir_all(class.join("remoteproc0"))?;
    /// # std::fs::write(class.join("remoteproc0/state"), "crashed\n")?;
    /// # std::fs::write(class.join("remoteproc0/recovery"), "disabled\n")?;
    /// use shmlock::remote::shmlock_core::fence::FullSystem;
    /// use shmlock::remote::shmlock_core::roll::{Roll, RollMemory, Slot};
    /// use shmlock::remote::{HeldDown, Remoteproc};
    ///
    /// const M4: Slot = Slot::new(2).unwrap();
    ///
    /// let memory = RollMemory::<2>::new(); // stands for shared memory
    /// let roll = Roll::new(&memory)?.with_fence(FullSystem);
    /// let m4 = Remoteproc::in_class(&class, "remoteproc0"); // or `new`, see there
    /// # let token = roll.begin_boot(M4)?.id().token();
    ///
    /// // First the boot, and only then the readings.
    /// if let Some(boot) = roll.last_boot(M4)? {
    ///     match m4.while_held_down(|| roll.retire(boot))? {
    ///         // Also in doubt: a processor that has started meanwhile has another boot.
    ///         HeldDown::Throughout(result) | HeldDown::InDoubt { result, .. } => result?,
    ///         HeldDown::No(reading) => println!("not held down: {reading:?}"),
    ///     }
    /// }
    /// # assert!(roll.is_over(token));
    /// # std::fs::remove_dir_all(&class)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn while_held_down<R>(
        &self,
        act: impl FnOnce() -> R,
    ) -> Result<HeldDown<R>, RemoteprocError> {
        // Partner: the last fence of `Roll::begin_boot`, or of the beginning of a life, by the
        // processor, before it acquires. The reading below is no older than the owner word, the
        // boot or the life that the caller has read. An older one could say that a processor is
        // held down that has booted since.
        FullSystem.acquire();
        let before = self.read()?;
        if !self.is_held_down(&before) {
            return Ok(HeldDown::No(before));
        }
        let result = act();
        let after = self.read();
        Ok(if after.as_ref() == Ok(&before) {
            HeldDown::Throughout(result)
        } else {
            HeldDown::InDoubt { result, after }
        })
    }

    /// Returns `true` if the reading says that this processor is held down.
    #[must_use]
    pub fn is_held_down(&self, reading: &RemoteprocReading) -> bool {
        let is_down = match reading.state {
            RemoteprocState::Offline => true,
            RemoteprocState::Crashed => !self.only_when_offline,
            _ => false,
        };
        is_down && reading.recovery == RemoteprocRecovery::Disabled
    }

    /// Reads a file of one word, with a line end or without.
    fn word(&self, file: &str) -> Result<String, RemoteprocError> {
        let path = self.directory.join(file);
        let mut bytes = Vec::with_capacity(WORD_MAX);
        let limit = WORD_MAX as u64 + 1;
        let read = File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        if let Err(error) = read {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            return Err(RemoteprocError::System { path, errno });
        }
        let word = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        match std::str::from_utf8(word) {
            Ok(word)
                if (1..=WORD_MAX).contains(&word.len())
                    && word.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(word.to_owned())
            }
            _ => Err(RemoteprocError::NoWord { path }),
        }
    }
}

impl RemoteprocState {
    /// The words of `rproc_state_string`, `remoteproc_sysfs.c`.
    fn from_word(word: &str) -> Self {
        match word {
            "offline" => Self::Offline,
            "suspended" => Self::Suspended,
            "running" => Self::Running,
            "crashed" => Self::Crashed,
            "deleted" => Self::Deleted,
            "attached" => Self::Attached,
            "detached" => Self::Detached,
            other => Self::Other(other.into()),
        }
    }
}

impl RemoteprocRecovery {
    /// The words of `recovery_show`, `remoteproc_sysfs.c`.
    fn from_word(word: &str) -> Self {
        match word {
            "enabled" => Self::Enabled,
            "disabled" => Self::Disabled,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for RemoteprocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { path, errno } => {
                let hint = match *errno {
                    Errno::NOENT => {
                        "is the processor's driver loaded? Older kernels have no file `recovery`"
                    }
                    Errno::ACCESS | Errno::PERM => "give this user the right to read it",
                    _ => "is it a file of remoteproc?",
                };
                write!(f, "cannot read {path}: {errno}; {hint}", path = Shown(path))
            }
            Self::NoWord { path } => {
                write!(
                    f,
                    "{path} does not hold one word; is it a file of remoteproc?",
                    path = Shown(path)
                )
            }
        }
    }
}

impl std::error::Error for RemoteprocError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { errno, .. } => Some(errno),
            Self::NoWord { .. } => None,
        }
    }
}
