//! Runs as the first process of the machine that `boot.sh` starts: mounts file systems, runs the
//! programs listed in `/programs`, and ends the machine with the exit code of the first failure, or
//! with 0.
//!
//! The list has one line for each program: its working directory, then its words, separated by
//! tabs. Lines `NAME=VALUE` before them set the environment.

use std::ffi::{CString, c_char, c_int, c_ulong, c_void};
use std::io::Write;
use std::process::Command;
use std::{env, fs, io, ptr, thread, time::Duration};

unsafe extern "C" {
    // mount(2), from the C library that std links.
    fn mount(
        what: *const c_char,
        at: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
}

const MOUNTS: [(&str, &str); 5] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/dev/shm"),
    ("cgroup2", "/sys/fs/cgroup"),
];

fn main() {
    if std::process::id() != 1 {
        if env::args().next().is_some_and(|name| name.ends_with("cat")) {
            let _ = io::copy(&mut io::stdin(), &mut io::stdout());
            return;
        }
        // /bin/true, without arguments, or /bin/sleep.
        let seconds = env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        thread::sleep(Duration::from_secs(seconds));
        return;
    }
    for (kind, at) in MOUNTS {
        let _ = fs::create_dir_all(at);
        let (kind, at) = (CString::new(kind).unwrap(), CString::new(at).unwrap());
        // SAFETY: three C strings that outlive the call; these file systems need no data.
        let mounted = unsafe { mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, ptr::null()) };
        if mounted != 0 {
            println!("init: {at:?}: {}", io::Error::last_os_error());
        }
    }
    let code = run_all();
    println!("init: all done, exit code {code}");
    let _ = io::stdout().flush();
    thread::sleep(Duration::from_millis(50)); // the console drains
    exit_machine(code);
}

fn run_all() -> i32 {
    let mut code = 0;
    for line in fs::read_to_string("/programs").expect("boot.sh packs it").lines() {
        let words: Vec<&str> = line.split('\t').collect();
        if let ([_], Some((name, value))) = (&words[..], line.split_once('=')) {
            // SAFETY: this process has one thread.
            unsafe { env::set_var(name, value) };
            continue;
        }
        println!("init: {}", words[1].rsplit('/').next().unwrap_or_default());
        let status = Command::new(words[1]).args(&words[2..]).current_dir(words[0]).status();
        let ended = match &status {
            Ok(status) => status.code().unwrap_or(125),
            Err(_) => 126,
        };
        if ended != 0 {
            println!("init: {} failed: {status:?}", words[1]);
            code = if code == 0 { ended } else { code };
        }
    }
    code
}

/// Ends the machine with an exit code by semihosting, which the emulator offers to user mode as
/// well: SYS_EXIT_EXTENDED with ADP_Stopped_ApplicationExit ("Semihosting for AArch32 and AArch64",
/// 2024Q3, section 6.7). Powering the machine off would always be a success.
fn exit_machine(code: i32) -> ! {
    const SYS_EXIT_EXTENDED: usize = 0x20;
    const APPLICATION_EXIT: usize = 0x20026;
    let block = [APPLICATION_EXIT, code as usize];
    // SAFETY: the emulator reads the two words and ends the machine.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("hlt #0xf000", in("x0") SYS_EXIT_EXTENDED, in("x1") block.as_ptr());
    }
    // SAFETY: as above. The number is `hlt #0xf000` in A32: assemblers accept the name for ARMv8
    // only.
    #[cfg(target_arch = "arm")]
    unsafe {
        std::arch::asm!(".inst 0xe10f0070", in("r0") SYS_EXIT_EXTENDED, in("r1") block.as_ptr());
    }
    panic!("no semihosting: {block:?}")
}
