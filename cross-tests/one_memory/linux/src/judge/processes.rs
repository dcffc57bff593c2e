//! Runs the processes that are the party Linux.

use std::env;
use std::path::Path;
use std::process::{Child, Command};

/// The processes of Linux. Their drop ends them.
pub(crate) struct Processes {
    command: Command,
    running: Vec<Process>,
}

/// A process. Its drop ends it.
struct Process(Child);

impl Processes {
    /// Starts processes on a memory, with their named lock in a directory.
    pub(crate) fn start(number: usize, memory: &Path, directory: &Path) -> Self {
        let judge = env::current_exe().expect("the path of this program");
        let mut command = Command::new(judge.with_file_name("one-memory-party"));
        command.arg(memory).arg(directory);
        let mut processes = Self { command, running: Vec::new() };
        processes.add(number);
        processes
    }

    /// Starts more processes.
    pub(crate) fn add(&mut self, number: usize) {
        for _ in 0..number {
            let child = self.command.spawn().expect("the party's program is beside the judge's");
            self.running.push(Process(child));
        }
    }

    /// Returns the number of processes.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Kills a process wherever it is.
    pub(crate) fn kill(&mut self, index: usize) {
        drop(self.running.swap_remove(index));
    }

    /// Waits for the end of all processes, once they are told to stop.
    pub(crate) fn wait(&mut self) {
        for process in &mut self.running {
            let status = process.0.wait().expect("a child can be waited for");
            assert!(status.success(), "a process of Linux failed: {status}");
        }
    }

    /// Panics if a process has ended.
    pub(crate) fn assert_run(&mut self) {
        for process in &mut self.running {
            let ended = process.0.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "a process of Linux has ended: {ended:?}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // or it has ended
        let _ = self.0.wait();
    }
}
