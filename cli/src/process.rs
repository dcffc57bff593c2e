//! Reads about processes from proc(5). What is not there, or not for this user, is no evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

/// The identity of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct File {
    device: u64,
    inode: u64,
}

impl File {
    /// Returns the file at this path; `None` if there is none, or it cannot be seen.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().map(|file| Self::of(&file))
    }

    pub(crate) fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }

    /// Returns it as the kernel writes it into maps and locks: the device's two numbers in
    /// hexadecimal, and the inode.
    fn in_tables(self) -> (String, String) {
        (format!("{:02x}:{:02x}", major(self.device), minor(self.device)), self.inode.to_string())
    }
}

/// Evidence that the process of a number is the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The process has the lock open.
    Seen,
    /// There is no such process, or it does not have the lock open: the number is in use again.
    Ended,
    /// There is such a process, but its open files cannot be seen.
    Hidden,
}

/// Looks for the process of this number in our pid namespace, as a user of the lock's file.
pub(crate) fn evidence(pid: u32, file: Option<File>) -> Evidence {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if number.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
        return Evidence::Ended;
    }
    let Some(file) = file.filter(|_| proc_is_ours()) else { return Evidence::Hidden };
    let process = Path::new("/proc").join(pid.to_string());
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return Evidence::Hidden };
    let descriptors: Vec<_> = descriptors.filter_map(|entry| Some(entry.ok()?.path())).collect();
    if descriptors.iter().any(|descriptor| lock_file_behind(descriptor) == Some(file)) {
        return Evidence::Seen;
    }
    // Other code of the process may have closed the descriptor; the mapping keeps the handle alive.
    let Ok(maps) = fs::read_to_string(process.join("maps")) else { return Evidence::Hidden };
    let (device, inode) = file.in_tables();
    let is_of_file = |line: &str| {
        let mut fields = line.split_whitespace().skip(3);
        fields.next() == Some(&device) && fields.next() == Some(&inode)
    };
    // A main thread that has ended before the others shows neither descriptors nor mappings.
    let has_more_threads = || entries(&process.join("task")).nth(1).is_some();
    match maps.lines().any(is_of_file) {
        true => Evidence::Seen,
        false if descriptors.is_empty() && has_more_threads() => Evidence::Hidden,
        false => Evidence::Ended,
    }
}

/// Returns `true` if /proc is of our pid namespace: a new namespace may still have the /proc of the
/// old one, `pid_namespaces(7)`.
fn proc_is_ours() -> bool {
    let own = fs::read_link("/proc/self").ok();
    own.is_some_and(|link| link.to_str() == Some(getpid().as_raw_pid().to_string().as_str()))
}

/// The processes that have the files of locks open.
#[derive(Debug, Default)]
pub(crate) struct Users {
    of: BTreeMap<File, BTreeSet<u32>>,
}

impl Users {
    /// Scans all processes whose files this user may see.
    pub(crate) fn scan() -> Self {
        let mut users = Self::default();
        if !proc_is_ours() {
            return users; // the numbers would be of other processes
        }
        let numbers: Vec<u32> = entries(Path::new("/proc"))
            .filter_map(|entry| entry.file_name()?.to_str()?.parse().ok())
            .collect();
        for pid in numbers {
            for descriptor in entries(&Path::new("/proc").join(pid.to_string()).join("fd")) {
                if let Some(file) = lock_file_behind(&descriptor) {
                    users.of.entry(file).or_default().insert(pid);
                }
            }
        }
        users
    }

    /// Returns the processes that have this file open.
    pub(crate) fn of(&self, file: Option<File>) -> Vec<u32> {
        file.and_then(|file| self.of.get(&file))
            .map(|pids| pids.iter().copied().collect())
            .unwrap_or_default()
    }
}

/// Returns the file behind a descriptor in /proc, if it may be a lock's.
fn lock_file_behind(descriptor: &Path) -> Option<File> {
    // The link's text comes first: stat(2) of the file may block on a network file system.
    let may_be = fs::read_link(descriptor).is_ok_and(|link| may_be_of_a_lock(&link));
    may_be.then(|| fs::metadata(descriptor).ok().map(|file| File::of(&file))).flatten()
}

/// Returns `true` if a descriptor's link may lead to the file of a lock or an exit event.
///
/// The kernel shows the name at open(2). In the creator of a lock that is `#` and the inode number,
/// because the file was named later.
fn may_be_of_a_lock(link: &Path) -> bool {
    let name = link.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.trim_end_matches(" (deleted)");
    name.ends_with(".shmlock") || name.ends_with(".shmlock-event") || name.starts_with('#')
}

/// Returns `Some(true)` if the kernel's table of locks has this file, else `None`. Every user of a
/// lock has bytes of its file locked, and every user may read the table, `proc_locks(5)`.
pub(crate) fn has_locks(file: File) -> Option<bool> {
    let table = fs::read_to_string("/proc/locks").ok()?;
    let (device, inode) = file.in_tables();
    let id = format!("{device}:{inode}");
    // Absence is no evidence: some file systems have other device numbers in this table.
    table.lines().any(|line| line.split_whitespace().any(|field| field == id)).then_some(true)
}

/// Returns the command's name, at most 15 bytes; `None` if the process cannot be seen.
pub(crate) fn command(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok().filter(|_| proc_is_ours())?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

fn entries(directory: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
#[allow(unsafe_code, reason = "a mapping without a descriptor")]
mod tests {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

    use super::*;

    #[test]
    fn a_process_that_has_a_file_mapped_is_seen_to_use_it_although_its_descriptor_is_closed() {
        let path =
            std::env::temp_dir().join(format!("test-evidence-{}.shmlock", std::process::id()));
        let open = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .expect("a new file");
        open.set_len(4096).expect("ours");
        let (own, file) = (std::process::id(), File::at(&path));
        assert_eq!(evidence(own, file), Evidence::Seen);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let map = unsafe {
            mmap(std::ptr::null_mut(), 4096, ProtFlags::READ, MapFlags::SHARED, &open, 0)
        };
        let map = map.expect("it can be mapped");
        drop(open);
        assert_eq!(evidence(own, file), Evidence::Seen);
        // SAFETY: the whole mapping of above, and nothing borrows from it.
        unsafe { munmap(map, 4096) }.expect("ours");
        assert_eq!(evidence(own, file), Evidence::Ended);
        std::fs::remove_file(&path).expect("ours");
    }

    #[test]
    fn a_process_has_ended_if_no_process_has_its_number_and_without_the_file_nothing_is_known() {
        let mut child = std::process::Command::new("true").spawn().expect("it can be started");
        child.wait().expect("a child");
        assert_eq!(evidence(child.id(), None), Evidence::Ended);
        assert_eq!(evidence(0, None), Evidence::Ended);
        assert_eq!(evidence(u32::MAX, None), Evidence::Ended);
        assert_eq!(evidence(std::process::id(), None), Evidence::Hidden);
    }
}
