//! What /proc says about processes, proc(5). Where it says nothing, or not to us, less is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file, whatever it is called.
type File = (u64, u64);

/// Which processes have which lock's file open.
#[derive(Debug, Default)]
pub(crate) struct Users {
    of: BTreeMap<File, BTreeSet<u32>>,
}

impl Users {
    /// Looks at all processes that we may look at.
    pub(crate) fn look() -> Self {
        let mut users = Self::default();
        let numbers: Vec<u32> =
            entries(Path::new("/proc")).filter_map(|entry| entry.file_name()?.to_str()?.parse().ok()).collect();
        for pid in numbers {
            for descriptor in entries(&Path::new("/proc").join(pid.to_string()).join("fd")) {
                // The link's text first: to ask for the file behind it may block on a network file system.
                let may_be = fs::read_link(&descriptor).is_ok_and(|link| may_be_a_locks(&link));
                let file = may_be.then(|| fs::metadata(&descriptor).ok()).flatten();
                if let Some(file) = file {
                    users.of.entry((file.dev(), file.ino())).or_default().insert(pid);
                }
            }
        }
        users
    }

    /// Those of the lock at this path.
    pub(crate) fn of(&self, path: &Path) -> Vec<u32> {
        let file = fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()));
        file.and_then(|file| self.of.get(&file)).map(|pids| pids.iter().copied().collect()).unwrap_or_default()
    }
}

/// Whether a descriptor's link may lead to a lock's file. The kernel shows the name by which it was opened; for whoever
/// made the lock that is `#` and the inode number, for the file got its name later.
fn may_be_a_locks(link: &Path) -> bool {
    let name = link.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.trim_end_matches(" (deleted)");
    name.ends_with(".shmlock") || name.starts_with('#')
}

/// The command's name, at most 15 bytes; `None` if there is no such process.
pub(crate) fn command(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

/// Whether we may see what it has open.
pub(crate) fn is_transparent(pid: u32) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).is_ok()
}

fn entries(directory: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}
