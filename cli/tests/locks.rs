//! `status` and `list` show the truth, and escape hostile text.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use shmlock::ExitEvent;
use shmlock_tests::hostile::{Folder, Intruder, Solo};
use shmlock_tests::{start, until};

use crate::program::{Running, UNTIL_TOLD, says, shmlock};

fn json(args: &[&str]) -> Value {
    let said = says(args);
    assert!(said.out.is_ascii() || said.out.chars().all(|char| char == '\n' || !char.is_control()));
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

fn hold(folder: &Folder, name: &str, options: &[&str]) -> Running {
    let directory = folder.path().to_str().expect("UTF-8");
    Running::start(shmlock(
        [&["run", "--directory", directory], options, &[name, "--"], &UNTIL_TOLD].concat(),
    ))
    .ready()
}

#[test]
fn status_distinguishes_absent_held_and_dead_and_exits_with_1_after_a_death() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let status = |json: bool| {
        [&["status", "l", "--directory", directory][..], if json { &["--json"] } else { &[] }]
            .concat()
    };

    let said = says(status(false));
    assert!(said.code == Some(0) && said.out.starts_with("l: absent"), "{said:?}");
    assert_eq!(json(&status(true))["state"], "absent");

    let mut holder = hold(&folder, "l", &["-d", "belt 7", "-F"]);
    let pid = holder.pid();
    let said = says(status(false));
    for part in [
        "l: held\n",
        &format!("pid {pid} (sh)"),
        "belt 7",
        "acquisitions  1",
        "waiters       no",
        "l.shmlock",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert_eq!(said.code, Some(0));
    let seen = json(&status(true));
    assert_eq!(
        (&seen["state"], &seen["owner"]["pid"], &seen["owner"]["description"]),
        (&"held".into(), &pid.into(), &"belt 7".into())
    );
    assert!(
        seen["users"].as_array().expect("an array").iter().any(|user| user["pid"] == pid),
        "{seen}"
    );

    holder.kill();
    let said = says(status(false));
    assert!(said.code == Some(1) && said.out.contains("its owner is dead"), "{said:?}");
    assert!(
        said.out.contains("owner died    yes, and no process has recovered the lock yet"),
        "{said:?}"
    );
    let said = says(["watch", "--count", "1", "--directory", directory]);
    assert!(
        said.out.starts_with(&format!("l: dead, by pid {pid}, which has ended, for ")),
        "no command: {said:?}"
    );
    let seen = json(&status(true));
    assert_eq!(
        (&seen["state"], &seen["in_use"], &seen["owner_died"]),
        (&"dead".into(), &false.into(), &true.into())
    );
    let list = says(["list", "--noheadings", "--directory", directory]);
    let columns: Vec<_> = list.out.split_whitespace().collect();
    assert_eq!(
        (columns[2], columns[5], columns[6]),
        ("dead", "yes", "0"),
        "died, and not recovered from yet: {list:?}"
    );
    assert_eq!(columns[1], format!("({pid})"), "no number for kill(1): {list:?}");

    let lock = folder.lock("l").open().expect("a lock");
    drop(lock.lock().expect("a recovery")); // the recovering owner does not declare it consistent
    let said = says(status(false));
    assert!(said.code == Some(1) && said.out.starts_with("l: free\n"), "{said:?}");
    assert!(
        said.out.contains("owner died    yes") && said.out.contains("deaths        1"),
        "{said:?}"
    );
    lock.lock().expect("free").declare_consistent().expect("held");
    assert_eq!(says(status(false)).code, Some(0));
}

#[test]
fn every_field_of_the_json_is_explained() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _holder = hold(&folder, "l", &[]);
    let seen =
        json(&["status", "l", "--json", "--directory", folder.path().to_str().expect("UTF-8")]);
    let page = include_str!("../../docs/cli.md");
    let explained =
        page.split("## ").find(|part| part.starts_with("JSON\n")).expect("a part of its own");
    for object in [&seen, &seen["owner"], &seen["users"][0], &seen["file"]] {
        for field in object.as_object().expect("an object").keys() {
            assert!(explained.contains(&format!("`{field}`")), "{field}");
        }
    }
}

#[test]
fn status_shows_how_a_lock_has_been_used() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let status = ["status", "l", "--directory", directory];
    let lock = folder.lock("l").open().expect("a new lock");
    drop(lock.lock().expect("free"));
    let seen = json(&[&status[..], &["--json"]].concat());
    assert_eq!((&seen["acquisitions"], &seen["contended"]), (&1.into(), &0.into()));
    assert!(
        seen["longest_hold"].is_null() && !says(status).out.contains("longest hold"),
        "no handle has measured it"
    );

    let measured = folder.lock("l").measure_holds(true).open().expect("the lock");
    drop(measured.lock().expect("free"));
    let seen = json(&[&status[..], &["--json"]].concat());
    let longest = seen["longest_hold"].as_f64().expect("a number");
    assert!(longest > 0.0, "{seen}");
    let said = says(status);
    assert!(
        said.out.contains("contended     0\n")
            && said.out.contains(&format!("longest hold  {longest:.6} s\n")),
        "{}",
        said.out
    );
}

#[test]
fn inspection_changes_nothing() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let _ = folder.put("free", &[0; 192]);
    let _ = folder.put("half-made", &[]);
    let _ = folder.put("text", &[b'x'; 192]);
    folder.unchanged(|| {
        for verb in [
            &["list"][..],
            &["list", "--json"],
            &["status", "free"],
            &["watch", "--count", "1"],
            &["clean", "--dry-run"],
        ] {
            assert!(says([verb, &["--directory", directory]].concat()).code.is_some());
        }
    });
}

#[test]
fn list_has_a_line_for_each_lock_in_columns() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let list =
        |options: &[&'static str]| [&["list", "--directory", directory][..], options].concat();
    assert_eq!(says(list(&["--noheadings"])).out, "");
    let holder = hold(&folder, "held", &["-d", "belt 7"]);
    let _ = folder.put("free", &[0; 192]);
    let _ = folder.put("text", &[b'x'; 192]);

    // For a moment after its start the witness has the lock open, too.
    let users = |seen: &Value| seen["locks"][1]["users"].as_array().map(Vec::len);
    until(|| users(&json(&list(&["--json"]))) == Some(2));
    let said = says(list(&[]));
    let lines: Vec<Vec<_>> =
        said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let titles = [
        "COMMAND",
        "PID",
        "STATE",
        "HELD",
        "WAIT",
        "DIED",
        "DEATHS",
        "ACQUIRED",
        "USERS",
        "NAME",
        "DESCRIPTION",
    ];
    assert_eq!(lines[0], titles);
    assert_eq!(lines[1], ["-", "-", "free", "-", "no", "no", "0", "0", "0", "free"]);
    assert_eq!(lines[2][..3], ["shmlock", &holder.pid().to_string(), "held"]);
    assert_eq!(lines[2][4..], ["no", "no", "0", "1", "2", "held", "belt", "7"]);
    assert_eq!((lines[3][2], lines[3][9]), ("unreadable", "text"));
    assert!(said.out.contains("text.shmlock is a file with other content"), "{}", said.out);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(says(list(&["--noheadings"])).out.lines().count(), 3);

    let seen = json(&list(&["--json"]));
    let names: Vec<_> =
        seen["locks"].as_array().expect("an array").iter().map(|lock| &lock["name"]).collect();
    assert_eq!(names, ["free", "held", "text"]);
    assert_eq!(seen["locks"][1]["acquisitions"], 1);
    assert!(seen["locks"][2]["error"].is_string());
}

#[test]
fn list_shows_exit_events_after_the_locks() {
    const HOSTILE: &str = "\x1b[2J\r\nfree";
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let _ = folder.put("z", &[0; 192]);
    std::fs::write(folder.path().join("left.shmlock-event"), [1; 192])
        .expect("a file can be written");
    std::fs::write(folder.path().join("dead.shmlock-event"), [0; 192])
        .expect("a file can be written");
    let [clear, set] = [HOSTILE, "set"]
        .map(|name| ExitEvent::named_in(name, folder.path(), 0o600).expect("an event"));
    set.set().expect("ours");

    let said = says(["list", "--noheadings", "--directory", directory]);
    let lines: Vec<Vec<_>> =
        said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][9], "z", "{said:?}");
    assert_eq!(
        lines[1][2..11],
        ["clear", "-", "-", "-", "-", "-", "1", r"\u{1b}[2J\r\nfree", "exit"]
    );
    assert_eq!(
        lines[2],
        ["-", "-", "unused", "-", "-", "-", "-", "-", "0", "dead", "exit", "event"]
    );
    assert_eq!((lines[3][2], lines[3][9]), ("unreadable", "left"));
    assert_eq!(lines[4], ["-", "-", "set", "-", "-", "-", "-", "-", "1", "set", "exit", "event"]);
    assert_eq!((lines.len(), said.code, said.err.as_str()), (5, Some(0), ""));

    let seen = json(&["list", "--json", "--directory", directory]);
    let events = seen["exit_events"].as_array().expect("an array");
    let states: Vec<_> =
        events.iter().map(|event| event["state"].as_str().expect("text")).collect();
    assert_eq!(states, ["clear", "unused", "unreadable", "set"]);
    assert_eq!(events[3]["users"][0]["pid"], std::process::id());
    assert!(events[2]["error"].is_string() && events[3]["error"].is_null());
    assert_eq!(seen["locks"].as_array().expect("an array").len(), 1);
    let page = include_str!("../../docs/cli.md");
    let explained =
        page.split("## ").find(|part| part.starts_with("JSON\n")).expect("a part of its own");
    let explained = explained.split_once("An exit event has").expect("a paragraph of its own").1;
    for field in events[0].as_object().expect("an object").keys() {
        assert!(explained.contains(&format!("`{field}`")), "{field}");
    }
    drop(clear);
}

#[test]
fn hostile_names_and_descriptions_do_not_reach_the_terminal() {
    const HOSTILE: &str = "\x1b[2J\x1b]0;title\x07\r\nfree\u{9b}31m\u{202e}";
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let lock = folder.lock(HOSTILE).description(HOSTILE).open().expect("a lock");
    let guard = lock.lock().expect("free");
    for verb in [
        &["list"][..],
        &["list", "--json"],
        &["status", HOSTILE],
        &["status", "--json", HOSTILE],
        &["watch", "--count", "2", "--interval", "0"],
        &["clean", "--verbose"],
        &["run", "-n", "-v", HOSTILE, "true"],
        &["run", "-w", "0.01", "-v", HOSTILE, "true"],
    ] {
        // Before the arguments: `run` passes the rest to the command.
        let said = says([&verb[..1], &["--directory", directory], &verb[1..]].concat());
        let all = said.out + &said.err;
        let bad =
            all.chars().find(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}');
        assert_eq!(bad, None, "{verb:?}: {all:?}");
        assert!(all.contains("title"), "{verb:?}: it is shown: {all:?}");
        assert!(!all.lines().any(|line| line.starts_with("free")), "{verb:?}: {all:?}");
    }
    std::mem::forget(guard);
    drop(lock);
    let said = says(["clean", "--directory", directory, "--crashed"]);
    assert!(said.out.starts_with("removed \\u{1b}") && said.out.lines().count() == 1, "{said:?}");
}

#[test]
fn garbage_in_the_region_is_shown_and_never_a_panic() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let path = folder.put("l", &[0; 192]);
    let intruder = Intruder::on(&path);
    let mut noise = 0x9e37_79b9_u32;
    for _ in 0..60 {
        for offset in (0..128).step_by(4).filter(|offset| *offset != 8) {
            noise = noise.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            intruder.scribble(offset, if noise % 7 == 0 { noise & 0xffff } else { noise });
        }
        for verb in [&["status", "l"][..], &["list", "--json"], &["clean", "--dry-run"]] {
            let said = says([verb, &["--directory", directory]].concat());
            assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
        }
    }
}

#[test]
fn a_broken_pipe_ends_the_program_without_a_message() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for n in 0..1500 {
        let _ = folder.put(&format!("lock-with-a-long-name-{n}"), &[]); // more than a pipe holds
    }
    let mut list = shmlock(["list", "--directory"]);
    list.arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(&mut list).expect("it can be started");
    let mut first = String::new();
    BufReader::with_capacity(16, child.stdout.take().expect("piped"))
        .read_line(&mut first)
        .expect("a line");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(128 + 13), "")
    );
}
