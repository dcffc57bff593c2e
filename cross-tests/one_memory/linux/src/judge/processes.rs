//! Runs the processes that are the party Linux.

use std::env;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

/// The processes of Linux. Their drop ends them.
pub(crate) struct Processes {
    command: Command,
    running: Vec<Child>,
}

impl Processes {
    /// Starts processes on a memory, with their named lock in a directory.
    pub(crate) fn start(number: usize, memory: &Path, directory: &Path) -> Self {
        let judge = env::current_exe().expect("the path of this program");
        let mut command = Command::new(judge.with_file_name("one-memory-party"));
        command.arg(memory).arg(directory);
        let mut processes = Self { command, running: Vec::new() };
        for _ in 0..number {
            let child = processes.spawn();
            processes.running.push(child);
        }
        processes
    }

    /// Returns the number of processes.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Kills a process wherever it is, and starts another in its place.
    pub(crate) fn replace(&mut self, index: usize) {
        let next = self.spawn();
        let mut victim = std::mem::replace(&mut self.running[index], next);
        victim.kill().expect("it runs until it is killed");
        victim.wait().expect("a child can be waited for");
    }

    /// Waits for the end of all processes, once they are told to stop.
    pub(crate) fn wait(&mut self) {
        for child in &mut self.running {
            let status = child.wait().expect("a child can be waited for");
            assert!(status.success(), "a process of Linux failed: {status}");
        }
    }

    /// Panics if a process has ended.
    pub(crate) fn assert_run(&mut self) {
        for child in &mut self.running {
            let ended: Option<ExitStatus> = child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "a process of Linux has ended: {ended:?}");
        }
    }

    fn spawn(&mut self) -> Child {
        self.command.spawn().expect("the party's program is beside the judge's")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
