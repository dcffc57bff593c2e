//! Runs a test in a process of its own.

use std::env;
use std::io::{Write, stderr};

use crate::fixture::Slot;
use crate::hostile::process_tree::end_process;
use crate::traces::Offspring;
use crate::{runner, start};

/// The environment variable with the name of the one test that the process runs.
const ALONE: &str = "SHMLOCK_TESTS_ALONE";

/// Prefixes of lines that are shown although the test passes: a skipped test, and the figures of a
/// sweep.
const TOLD: [&str; 2] = ["skipped: ", "swept: "];

/// Runs `play` in a process of its own, by starting this very test again. Called by
/// [`alone!`](crate::alone!), as the only statement of the test.
///
/// The process has no other thread than its watchdog and a thread that waits for its end. So it may
/// fork, change its limits or its user, and be killed. Other tests that run alone may run at that
/// time, each in a process of its own.
///
/// # Panics
/// If `play` panics, or does not come to its end.
pub fn alone(marker: &str, play: impl FnOnce()) {
    let path = marker.rsplit_once("::").map_or(marker, |(test, _marker)| test);
    let test = path.split_once("::").map_or(path, |(_crate, test)| test);
    if env::var(ALONE).is_ok_and(|alone| alone == test) {
        end_process::with_parent();
        return play();
    }
    let _slot = Slot::shared();
    let program = env::current_exe().expect("our own path");
    let mut command = runner::command(program.to_str().expect("a path in UTF-8"));
    command.args([test, "--exact", "--nocapture", "--test-threads=2"]).env(ALONE, test);
    let offspring = Offspring::of(&mut command);
    let output = start::output(&mut command).expect("this test can be started again");
    let (said, cried) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{}\n{said}\n{cried}",
        output.status
    );
    assert!(offspring.left().is_empty(), "left behind: {:?}", offspring.left());
    for line in cried.lines().filter(|line| TOLD.iter().any(|told| line.starts_with(told))) {
        // Shown: the output of a passed test is hidden.
        let _ = stderr().write_all(format!("{line}\n").as_bytes());
    }
}

/// Runs a test's body in a process of its own, see [`alone`].
#[macro_export]
macro_rules! alone {
    ($play:expr) => {{
        fn marker() {}
        $crate::hostile::alone(std::any::type_name_of_val(&marker), $play)
    }};
}
