//! Starves the machine: processes that use up the processors and the memory.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::system;

/// The limit of the memory that is taken, so that other programs do not suffer.
const HOG_MIB: usize = 256;
const CHUNK_MIB: usize = 8;

/// The processes that the master runs beside the workers.
pub(crate) struct Pressure {
    burners: Vec<u32>,
    hog: u32,
    burning: bool,
}

impl Pressure {
    /// Starts one busy process for each processor, and one that takes memory.
    pub(crate) fn begin() -> Self {
        let burners = system::processors().iter().map(|_| start("burn")).collect();
        Self { burners, hog: start("hog"), burning: true }
    }

    /// Stops the busy processes, or continues them.
    pub(crate) fn turn(&mut self) {
        self.burning = !self.burning;
        let signal = if self.burning { libc::SIGCONT } else { libc::SIGSTOP };
        self.burners.iter().for_each(|&pid| system::signal(pid, signal));
    }

    pub(crate) fn is_one_of_them(&self, pid: u32) -> bool {
        self.hog == pid || self.burners.contains(&pid)
    }

    pub(crate) fn end(&self) {
        self.burners.iter().chain([&self.hog]).for_each(|&pid| system::signal(pid, libc::SIGKILL));
    }
}

#[allow(clippy::zombie_processes, reason = "the master reaps every child by number")]
fn start(role: &str) -> u32 {
    let child = Command::new("/proc/self/exe").arg(role).stdin(Stdio::null()).spawn();
    child.expect("a process can be started").id()
}

/// Uses a processor.
pub(crate) fn burn() -> ! {
    system::end_with_parent();
    loop {
        std::hint::spin_loop();
    }
}

/// Takes memory up to its limit, frees it a moment later, and begins again.
pub(crate) fn hog() -> ! {
    system::end_with_parent();
    system::limit_memory((HOG_MIB as u64) << 20);
    // If the machine runs out of memory nevertheless, the kernel kills this process first.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    loop {
        let mut taken: Vec<Vec<u8>> = Vec::new();
        while taken.len() < HOG_MIB / CHUNK_MIB {
            let mut chunk = Vec::new();
            if chunk.try_reserve_exact(CHUNK_MIB << 20).is_err() {
                break;
            }
            chunk.resize(CHUNK_MIB << 20, 1);
            taken.push(chunk);
        }
        thread::sleep(Duration::from_millis(100));
        drop(taken);
        thread::sleep(Duration::from_millis(200));
    }
}

/// Restricts a process to some of the processors.
pub(crate) fn shuffle(rng: &mut Rng, pid: u32, processors: &[usize]) {
    let some: Vec<_> = processors.iter().copied().filter(|_| rng.bool()).collect();
    system::pin(pid, if some.is_empty() { processors } else { &some });
}
