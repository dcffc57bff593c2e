//! Runs scenarios of the shell: a foreign file at the lock's path, handles on it, and writes, byte
//! locks and removals in between. There is no truncation, which raises SIGBUS, as documented.

mod call;
mod expected_errors;
mod tempdir;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use arbitrary::Arbitrary;
use shmlock::{BlockSignals, ExitEvent, FenceScope, ShmLock, WaitStrategy};
use shmlock_core::layout::MAGIC as OURS;

use crate::memory::{Bytes, MAGIC};
use call::{Call, Handles};
pub(crate) use expected_errors::is_one_clean_line;
pub use tempdir::TempDir;

/// The length of a lock's file without data, and the offset of the length of the data. Repeated on
/// purpose.
const FILE_LEN: usize = 192;
const DATA_LEN: usize = 136;

/// The name of the lock.
pub(crate) const NAME: &str = "l";

/// A scenario of one name.
#[derive(Debug, Arbitrary)]
pub struct Scenario {
    sessions: Vec<Session>,
}

/// A file, and up to three handles on it, from open to close.
#[derive(Debug, Arbitrary)]
struct Session {
    file: Option<FileInput>,
    handles: [Option<Options>; 3],
    calls: Vec<Call>,
    leaks: bool,
}

/// The file before the first open.
#[derive(Debug, Arbitrary)]
struct FileInput {
    bytes: Bytes,
    /// Ours, with a complete record; untouched; or unchanged.
    magic: Option<bool>,
    /// Difference from the length of a lock's file; most often none.
    excess: Option<i8>,
    /// Length of the data, and the length in the header; most often none.
    data: Option<(u8, u8)>,
    mode: Option<u16>,
}

/// The options of a handle.
#[derive(Debug, Arbitrary)]
struct Options {
    mode: Option<u16>,
    description: String,
    full_system: bool,
    polls: bool,
    blocks_signals: Option<bool>,
    event: Option<bool>,
}

/// Short, because most scenarios wait for a lock that stays held.
const INTERVAL: Duration = Duration::from_micros(20);

impl FileInput {
    fn put(&self, tempdir: &TempDir) {
        let path = tempdir.path().join(format!("{NAME}.shmlock"));
        let bytes = match self.magic {
            Some(true) => self.bytes.with(MAGIC, OURS).recorded(),
            Some(false) => self.bytes.with(MAGIC, 0),
            None => self.bytes,
        };
        let mut content = bytes.0.to_vec();
        content.resize(FILE_LEN, 0);
        if let Some((len, said)) = self.data {
            content[DATA_LEN] = said;
            content.resize(FILE_LEN + usize::from(len), said);
        }
        content.resize(content.len().saturating_add_signed(self.excess.unwrap_or(0).into()), 0);
        fs::write(&path, content).expect("our own directory");
        let mode = self.mode.map_or(0o600, |mode| mode & 0o7777);
        fs::set_permissions(&path, Permissions::from_mode(mode.into())).expect("our own file");
    }
}

impl Options {
    fn open(&self, tempdir: &TempDir) -> shmlock::Result<ShmLock> {
        let mut builder = ShmLock::builder(NAME)
            .directory(tempdir.path())
            .mode(self.mode.map_or(0o600, u32::from))
            .description(&self.description)
            .poll_interval(INTERVAL)
            .open_timeout(Duration::ZERO)
            .fence_scope(if self.full_system {
                FenceScope::FullSystem
            } else {
                FenceScope::InnerShareable
            })
            .wait_strategy(if self.polls {
                WaitStrategy::SleepPolling
            } else {
                WaitStrategy::Futex
            })
            .block_signals(match self.blocks_signals {
                None => BlockSignals::Never,
                Some(true) => BlockSignals::WhileHeld,
                Some(false) => BlockSignals::Transitions,
            });
        if let Some(set) = self.event {
            let event = ExitEvent::new();
            if set {
                event.set()?;
            }
            builder = builder.exit_event(&event);
        }
        builder.open()
    }
}

impl Session {
    fn play(&self, tempdir: &TempDir) {
        if let Some(file) = &self.file {
            file.put(tempdir);
        }
        let opened = self.handles.each_ref().map(|options| {
            options.as_ref().and_then(|options| expected_errors::opened(options.open(tempdir)))
        });
        let mut handles = Handles::new(tempdir, &opened);
        for call in &self.calls {
            handles.play(call);
        }
        handles.end(self.leaks);
    }
}

impl Scenario {
    /// Runs the scenario and removes its file.
    pub fn play(&self) {
        let tempdir = TempDir::clean();
        for session in &self.sessions {
            session.play(&tempdir);
            assert!(tempdir.names().iter().all(|name| name == &format!("{NAME}.shmlock")));
        }
        let _ = fs::remove_file(tempdir.path().join(format!("{NAME}.shmlock")));
    }
}
