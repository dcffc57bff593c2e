//! The core on a mapped file, shared with programs in other languages: `examples/c/counter.c` is
//! the same program in C.
//!
//! `mapped_region FILE TOKEN INCREMENTS` increments a counter in the file, under a lock in the same
//! file. Each program that does so at the same time needs a token of its own. Without arguments,
//! two copies of this program count in a file of their own. Expected output:
//!
//! ```text
//! 2 processes, 40000 of 40000 increments counted
//! ```

#![allow(unsafe_code, reason = "maps a file and looks at it as a lock and a counter")]

use std::fs::{File, OpenOptions, remove_file};
use std::num::NonZeroU16;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{env, process};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::thread::{Timespec, futex};
use shmlock_core::layout::REGION_LEN;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{Region, RegionLock};
use shmlock_examples::{Result, child::Child};

/// The lock, the counter, and nothing else yet.
const FILE_LEN: usize = 192;

/// Looks a few times, then sleeps in the kernel until the owner wakes it: for 20 ms at most, for
/// the owner may be unable to.
struct Futex;

impl Wait for Futex {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        if contention.attempt() % 64 == 63 {
            if let Ok(marked) = contention.mark_waiting() {
                let interval = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                // A wake, a signal, a timeout, a changed word: all mean "look again".
                let _ = futex::wait(
                    contention.word(),
                    futex::Flags::empty(),
                    marked.bits(),
                    Some(&interval),
                );
            }
        }
        WaitAction::Retry
    }
}

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => show(),
        [file, token, increments] => {
            let number =
                |text: &std::ffi::OsString| text.to_str().and_then(|text| text.parse().ok());
            let token = number(token)
                .and_then(|token: u32| u16::try_from(token).ok())
                .and_then(NonZeroU16::new);
            let token = token.ok_or("a token is a number from 1 to 65535")?;
            count(file.as_ref(), token, number(increments).ok_or("how many increments?")?)
        }
        _ => Err("usage: mapped_region [FILE TOKEN INCREMENTS]".into()),
    }
}

/// Two copies of this program at once.
fn show() -> Result<()> {
    const INCREMENTS: u32 = 20_000;
    let file = Temporary(env::temp_dir().join(format!("shmlock-mapped-region-{}", process::id())));
    let path = file.0.to_str().ok_or("the directory for temporary files is not valid UTF-8")?;
    let start = |token: &str| Child::start([path, token, &INCREMENTS.to_string()]);
    let mut copies = [start("1")?, start("2")?];
    for copy in &mut copies {
        let ended = copy.wait()?;
        if !ended.success() {
            return Err(format!("process {} failed: {ended}", copy.pid()).into());
        }
    }
    let (_, counter) = map(&open(&file.0)?)?;
    println!(
        "{} processes, {} of {} increments counted",
        copies.len(),
        counter.load(Relaxed),
        2 * INCREMENTS
    );
    Ok(())
}

fn count(path: &Path, token: NonZeroU16, increments: u32) -> Result<()> {
    let (region, counter) = map(&open(path)?)?;
    let lock = RegionLock::new(region, token);
    for _ in 0..increments {
        let guard = lock.lock(&mut Futex)?;
        if guard.owner_died() {
            eprintln!("an owner died; its last increment may be missing");
        }
        counter.store(counter.load(Relaxed) + 1, Relaxed); // two accesses on purpose: the lock makes them one
        guard.release()?;
        if lock.owes_wake() {
            futex::wake(region.owner_word(), futex::Flags::empty(), 1)?;
        }
    }
    Ok(())
}

/// The file, of its full length. All zero is a free lock and a count of zero: nobody has to
/// initialise it.
fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    // Never shrink a file that others may have mapped: an access beyond its end is a SIGBUS.
    if file.metadata()?.len() < FILE_LEN as u64 {
        file.set_len(FILE_LEN as u64)?;
    }
    Ok(file)
}

/// The lock and the counter in a file. The mapping stays until the program ends.
fn map(file: &File) -> Result<(Region<'static>, &'static AtomicU32)> {
    // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
    let address = unsafe {
        mmap(null_mut(), FILE_LEN, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)
    }?;
    let address = NonNull::new(address.cast::<u8>()).ok_or("mapped at address zero")?;
    // SAFETY:
    // - the first 128 bytes of a mapping that is never unmapped; readable and writable.
    // - all programs of this kind access them by atomic operations of 32 bits only, and none
    //   truncates the file.
    let region = unsafe { Region::from_raw(address, REGION_LEN) }?;
    // SAFETY: the word behind them, inside the mapping.
    let counter = unsafe { address.add(REGION_LEN) };
    // SAFETY: aligned, for 128 is a multiple of four; any bits are an `AtomicU32`; all access it by
    // atomics.
    let counter = unsafe { counter.cast::<AtomicU32>().as_ref() };
    Ok((region, counter))
}

/// A file that is removed when nobody needs it any more.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = remove_file(&self.0); // it may not have been made
    }
}
