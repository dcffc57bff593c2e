//! `watch` and `hold` work without a terminal; `bench` measures.

use shmlock_tests::hostile::{Folder, Solo};

use crate::program::{Running, says, shmlock};

#[test]
fn without_a_terminal_each_update_is_a_plain_line() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let watch = |args: &[&str]| {
        says([&["watch", "--directory", directory, "--interval", "0.01"], args].concat())
    };
    let absent = watch(&["l", "--count", "2"]);
    assert_eq!((absent.code, absent.out.as_str()), (Some(0), "l: absent\nl: absent\n"));
    assert_eq!(watch(&["--count", "2"]).out, "");
    assert_eq!(watch(&["--count", "0", "l"]).out, "");
    let lock = folder.lock("l").description("belt 7").open().expect("a lock");
    let _guard = lock.lock().expect("free");
    let seen = watch(&["--count", "3"]);
    let lines: Vec<_> = seen.out.lines().collect();
    assert_eq!(lines.len(), 3, "{seen:?}");
    let pid = std::process::id();
    assert!(lines[0].starts_with(&format!("l: held, by pid {pid} (")), "{seen:?}");
    assert!(
        lines[0].contains("\"belt 7\"") && lines[0].contains("- per s, waiters: no, deaths: 0"),
        "{seen:?}"
    );
    assert!(lines[1].contains("0.0 per s"), "{seen:?}");
    assert_eq!(watch(&["a/b"]).code, Some(64));
}

#[test]
fn the_rate_is_the_number_of_acquisitions_in_a_second() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect("a lock");
    let mut command =
        shmlock(["watch", "l", "--interval", "0.05", "--count", "1000", "--directory"]);
    command.arg(folder.path());
    let mut watch = Running::start(command);
    let rate = |line: &str| {
        line.rsplit_once(" per s")
            .and_then(|(start, _)| start.rsplit(' ').next()?.parse::<f64>().ok())
    };
    assert_eq!(rate(&watch.read_line()), None, "there is no former count yet");
    assert_eq!(rate(&watch.read_line()), Some(0.0));
    for _ in 0..1000 {
        drop(lock.lock().expect("free"));
    }
    let seen =
        std::iter::repeat_with(|| rate(&watch.read_line())).flatten().find(|rate| *rate > 0.0);
    assert!(seen.is_some_and(|rate| rate <= 1000.0 / 0.05 + 1.0), "{seen:?}");
}

#[test]
fn hold_releases_the_lock_at_the_end_of_its_input_after_its_time_and_at_a_signal() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let start = |args: &[&str]| {
        let mut hold = Running::start(shmlock([&["hold", &name], args].concat()));
        let said = hold.read_line();
        assert!(said.starts_with(&format!("holding {name:?} (fencing token 1) until ")), "{said}");
        hold
    };
    let mut hold = start(&["--description", "belt 7"]);
    assert!(says(["status", &name]).out.contains("belt 7"));
    assert_eq!(says(["run", "-n", "-E", "9", &name, "true"]).code, Some(9));
    hold.close();
    assert_eq!(hold.code(), 0);
    let mut hold = start(&[]);
    hold.write_line("");
    assert_eq!(hold.code(), 0);
    assert_eq!(start(&["--for", "0.5"]).code(), 0);
    let mut hold = start(&["--for", "1000"]);
    hold.close();
    assert_eq!(
        says(["run", "-w", "0.2", "-E", "9", &name, "true"]).code,
        Some(9),
        "the time ends it, not the input"
    );
    hold.signal(libc::SIGTERM);
    assert_eq!(hold.code(), 1000 + libc::SIGTERM);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
        let mut hold = start(&["--for", "1000"]);
        hold.signal(signal);
        assert_eq!(hold.code(), 1000 + signal);
        assert!(fixture.files().is_empty());
    }
    let mut hold = start(&["--for", "1000"]);
    hold.signal(libc::SIGSTOP); // so that it receives both at once
    hold.signal(libc::SIGHUP);
    hold.signal(libc::SIGTERM);
    hold.signal(libc::SIGCONT);
    assert_eq!(hold.code(), 1000 + libc::SIGHUP, "the second does not end it otherwise");
    assert!(fixture.files().is_empty());
}

#[test]
fn a_part_of_a_line_neither_ends_hold_nor_delays_a_signal() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let start = || {
        let mut hold = Running::start(shmlock(["hold", &name]));
        hold.read_line();
        hold.write_part("no end of a line");
        assert_eq!(says(["run", "-w", "0.2", "-E", "9", &name, "true"]).code, Some(9));
        hold
    };
    let mut hold = start();
    hold.signal(libc::SIGTERM);
    assert_eq!(hold.code(), 1000 + libc::SIGTERM);
    let mut hold = start();
    hold.write_line("");
    assert_eq!(hold.code(), 0);
}

#[test]
fn hold_in_the_background_of_a_script_ignores_its_input() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let folder = Folder::new(&fixture);
    let text = folder.path().join("text");
    std::fs::write(&text, "another program's lines\n").expect("ours");
    for input in ["</dev/null", "<&-", "<\"$2\""] {
        let mut sh = std::process::Command::new("sh");
        sh.args([
            "-c",
            &format!("exec \"$0\" hold \"$1\" {input}"),
            env!("CARGO_BIN_EXE_shmlock"),
            &name,
        ])
        .arg(&text);
        let mut hold = Running::start(sh);
        let said = hold.read_line();
        assert!(said.ends_with(" until a signal"), "{said}");
        assert_eq!(says(["run", "-w", "0.2", "-E", "9", &name, "true"]).code, Some(9), "{input}");
        hold.signal(libc::SIGTERM);
        assert_eq!(hold.code(), 1000 + libc::SIGTERM, "{input}");
        assert!(
            !fixture.files().iter().any(|file| file.ends_with(".shmlock")),
            "{input}: released"
        );
    }
    std::fs::remove_file(&text).expect("ours");
}

#[test]
fn hold_waits_and_times_out_as_run_does() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut first = Running::start(shmlock(["hold", &name]));
    first.read_line();
    assert_eq!(says(["hold", "-n", &name]).code, Some(1));
    assert_eq!(says(["hold", "-w", "0.01", "-E", "7", &name]).code, Some(7));
    let mut second = Running::start(shmlock(["hold", &name]));
    first.close();
    assert!(second.read_line().starts_with("holding"));
    second.close();
    assert_eq!((first.code(), second.code()), (0, 0));
}

#[test]
fn bench_writes_a_table_and_leaves_no_file() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let said = says(["bench", "--directory", directory, "--rounds", "2", "--time", "0.01"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<_> = said.out.lines().collect();
    assert!(
        lines[0].contains("SHMLOCK") && lines[0].contains("FLOCK(2)") && lines[0].contains("RATIO"),
        "{said:?}"
    );
    for (line, what) in lines[1..].iter().zip(["uncontended", "2 processes"]) {
        let figures: Vec<f64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert!(
            line.starts_with(what) && figures.len() >= 2 && figures.iter().all(|ns| *ns > 0.0),
            "{line}"
        );
    }
    assert!(folder.names().is_empty());
    assert_eq!(says(["bench", "--rounds", "0"]).code, Some(64));
}
