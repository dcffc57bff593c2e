//! Runs the microcontroller: an emulated machine, controlled through QMP on its standard input and
//! output.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use shmlock_one_memory_linux::FILE_LEN;

/// An emulated machine whose RAM is a file. Its drop ends it.
pub(crate) struct Machine {
    qemu: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Machine {
    /// Starts the machine: `command` is QEMU with the machine and its program. `first_core` is its
    /// first core's number among the cores of all machines.
    pub(crate) fn start(command: &[String], first_core: u32, memory: &Path) -> Self {
        let (program, arguments) = command.split_first().expect("QEMU is named");
        let memory = memory.display();
        let mut qemu = Command::new(program)
            .args(arguments)
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=shared,share=on,size={FILE_LEN},mem-path={memory}"
            ))
            .args(["-machine", "memory-backend=shared", "-qmp", "stdio"])
            .args(["-display", "none", "-serial", "none", "-monitor", "none", "-nic", "none"])
            .arg("-semihosting-config")
            .arg(format!("enable=on,target=native,arg={first_core}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        let commands = qemu.stdin.take().expect("a pipe");
        let answers = BufReader::new(qemu.stdout.take().expect("a pipe"));
        let mut machine = Self { qemu, commands, answers };
        machine.execute("qmp_capabilities", "\"return\"");
        machine
    }

    /// Resets the machine's first core wherever it is, and returns when that has started again. The
    /// RAM stays as it is, and QEMU lets the second core run on.
    pub(crate) fn reset(&mut self) {
        self.execute("system_reset", "\"event\": \"RESET\"");
    }

    /// Panics if the emulator has ended: a program that panics ends it.
    pub(crate) fn assert_runs(&mut self) {
        let ended = self.qemu.try_wait().expect("a child can be asked");
        assert!(ended.is_none(), "the machine has ended: {}", ended.expect("just checked"));
    }

    /// Executes a command, and reads until an answer contains `end`.
    fn execute(&mut self, command: &str, end: &str) {
        writeln!(self.commands, "{{\"execute\": \"{command}\"}}").expect("QEMU reads");
        let mut line = String::new();
        while !line.contains(end) {
            line.clear();
            let read = self.answers.read_line(&mut line).expect("QEMU writes text");
            assert!(read > 0 && !line.contains("\"error\""), "QEMU answered {command} by: {line}");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
