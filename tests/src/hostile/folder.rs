//! Makes a directory for one test, and checks whether anything in it has changed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use shmlock::{Builder, Error, ShmLock};

use crate::fixture::Fixture;
use crate::hostile::process_tree::{Child, fork};

/// A directory for the locks of one test. Dropping it removes it with its content.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// The metadata and content of one directory entry, except the access time.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    name: String,
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    content: Option<Vec<u8>>,
}

impl Folder {
    /// Starts a process that holds the lock `l` of this directory.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn owner(&self) -> Child {
        let owner = fork(|line| {
            let lock = self.lock("l").open().expect("a lock");
            let _guard = lock.lock().expect("free");
            line.ready();
            line.wait();
        });
        owner.line().wait();
        owner
    }

    /// Makes one in `/dev/shm`, with a name of the fixture.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(fixture: &Fixture) -> Self {
        Self::within(Path::new("/dev/shm"), fixture)
    }

    /// Makes one in another directory.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn within(directory: &Path, fixture: &Fixture) -> Self {
        let path = directory.join(fixture.name("folder"));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        set_mode(&path, 0o700);
        Self { path }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the file of a lock in it.
    #[must_use]
    pub fn file(&self, lock: &str) -> PathBuf {
        self.path.join(format!("{lock}.shmlock"))
    }

    /// Returns a builder of a lock in it.
    pub fn lock(&self, lock: &str) -> Builder {
        ShmLock::builder(lock).directory(&self.path)
    }

    /// Writes a file in the place of a lock's: mode 0600, and so old that any change shows.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn put(&self, lock: &str, content: &[u8]) -> PathBuf {
        let path = self.file(lock);
        fs::write(&path, content).expect("a file can be written");
        set_mode(&path, 0o600);
        let file = File::options().write(true).open(&path).expect("our own file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("our own file");
        path
    }

    /// Writes a file `filler` until the file system is full.
    ///
    /// # Panics
    /// If the file system does not fill up.
    pub fn fill(&self) {
        let mut filler = File::create(self.path.join("filler")).expect("room for a name");
        let full = (0..1000)
            .find_map(|_| filler.write_all(&[1; 4096]).err())
            .expect("a small file system");
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    }

    /// Returns the names of its entries, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().into_iter().map(|entry| entry.name).collect()
    }

    /// Returns its entries, sorted.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn state(&self) -> Vec<State> {
        let entries = fs::read_dir(&self.path).expect("our own directory");
        let mut state: Vec<_> =
            entries.map(|entry| State::of(&entry.expect("our own directory").path())).collect();
        state.sort_by(|one, other| one.name.cmp(&other.name));
        state
    }

    /// Runs `act`, and checks that it changed nothing here.
    ///
    /// # Panics
    /// If it did.
    pub fn unchanged<R>(&self, act: impl FnOnce() -> R) -> R {
        let before = self.state();
        let result = act();
        assert_eq!(self.state(), before, "something was changed");
        result
    }

    /// Opens a lock, which must fail and must change nothing here; returns the error.
    ///
    /// # Panics
    /// If it succeeds or changes something.
    #[must_use]
    pub fn refuses(&self, lock: &Builder) -> Error {
        self.unchanged(|| lock.open()).expect_err("it was opened")
    }
}

impl State {
    fn of(path: &Path) -> Self {
        let meta = fs::symlink_metadata(path).expect("it is there");
        let content = match () {
            () if meta.is_file() => Some(fs::read(path).expect("our own file")),
            () if meta.is_symlink() => Some(
                fs::read_link(path).expect("our own link").into_os_string().into_encoded_bytes(),
            ),
            () => None,
        };
        Self {
            name: path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            inode: meta.ino(),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            content,
        }
    }
}

/// Sets the permission bits, whatever the umask.
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
