//! `clean` removes what no process uses, keeps the rest, and reports both with the reason.

use std::fs;

use shmlock::ExitEvent;
use shmlock_tests::hostile::{Folder, Intruder, Solo};

use crate::program::{Ended, Running, UNTIL_TOLD, says, shmlock};

fn clean(folder: &Folder, args: &[&str]) -> Ended {
    says([&["clean", "--directory", folder.path().to_str().expect("UTF-8")], args].concat())
}

#[test]
fn unused_locks_are_removed_and_the_others_are_kept_with_the_reason() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let _ = folder.put("free", &[0; 192]);
    let outside = folder.put("outside", &[0; 192]);
    Intruder::on(&outside).scribble(0, 7);
    let start = |options: &[&str], name| {
        let args =
            [&["run", "--directory", directory, "-d", "doomed"], options, &[name], &UNTIL_TOLD[..]]
                .concat();
        Running::start(shmlock(args)).ready()
    };
    let holder = start(&[], "used");
    start(&["-F"], "crashed").kill();

    let expected = [
        "crashed: its owner died holding it (pid ",
        "free: free, and no process has it open",
        "outside: held by a static token",
    ];
    let assert_said = |said: &Ended, verbs: [&str; 3]| {
        let lines: Vec<_> = said.out.lines().collect();
        assert_eq!(lines.len(), 3, "a lock in use is not reported: {said:?}");
        for ((line, verb), why) in lines.iter().zip(verbs).zip(expected) {
            assert!(line.starts_with(&format!("{verb} {why}")), "{line}");
        }
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    };
    let before = folder.names();
    let dry = folder.unchanged(|| clean(&folder, &["--dry-run"]));
    assert_said(&dry, ["kept", "would remove", "kept"]);
    assert!(
        dry.out.contains("\"doomed\"") && dry.out.contains("--crashed removes it"),
        "{}",
        dry.out
    );
    let dry = folder.unchanged(|| clean(&folder, &["--dry-run", "--crashed"]));
    assert_said(&dry, ["would remove", "would remove", "kept"]);
    assert!(dry.out.contains("the next owner is not told"), "{}", dry.out);
    assert_eq!(folder.names(), before);

    assert_said(&clean(&folder, &[]), ["kept", "removed", "kept"]);
    assert_eq!(folder.names(), ["crashed.shmlock", "outside.shmlock", "used.shmlock"]);
    let said = clean(&folder, &["--crashed", "--verbose"]);
    assert!(said.out.contains("removed crashed: its owner died"), "{}", said.out);
    // In the order of their numbers, and these begin anew some day.
    let users = said.out.lines().find_map(|line| line.strip_prefix("kept used: in use by pids "));
    assert!(
        users.is_some_and(|users| {
            users.split(", ").any(|user| user == format!("{} (shmlock)", holder.pid()))
        }),
        "{}",
        said.out
    );
    assert_eq!(folder.names(), ["outside.shmlock", "used.shmlock"]);
}

#[test]
fn the_exit_status_is_1_if_a_named_lock_stays() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect("a lock");
    for (name, answer) in [
        ("l", "kept l: in use by "),
        ("no", "absent no: there is no lock or exit event of this name\n"),
    ] {
        for options in [&[name][..], &[name, "--dry-run"]] {
            let said = clean(&folder, options);
            assert!(said.code == Some(1) && said.out.starts_with(answer), "{options:?}: {said:?}");
        }
    }
    assert!(!lock.status().expect("a lock").orphaned);
    drop(lock);
    let _ = folder.put("l", &[]);
    assert_eq!(clean(&folder, &["l"]).code, Some(0));
    assert!(folder.names().is_empty());
}

#[test]
fn a_file_that_is_no_lock_is_reported_and_the_others_are_cleaned() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _ = folder.put("a", &[b'x'; 192]);
    let _ = folder.put("b", &[]);
    let said = clean(&folder, &[]);
    assert!(
        said.code == Some(1) && said.err.contains("a.shmlock is a file with other content"),
        "{said:?}"
    );
    assert_eq!(folder.names(), ["a.shmlock"]);
}

#[test]
fn an_invalid_name_is_a_usage_error_and_nothing_is_removed() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _ = folder.put("b", &[]);
    for options in [&["b", "not/a/name"][..], &["b", "not/a/name", "--dry-run"]] {
        let said = clean(&folder, options);
        assert!(said.code == Some(64) && said.out.is_empty(), "{options:?}: {said:?}");
        assert!(said.err.contains("by --directory"), "the hint names an option: {said:?}");
    }
    assert_eq!(folder.names(), ["b.shmlock"]);
}

#[test]
fn an_unused_exit_event_is_removed_and_one_in_use_is_kept() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let left = folder.path().join("left.shmlock-event");
    fs::write(&left, [0; 192]).expect("a file can be written");
    let used = ExitEvent::named_in("used", folder.path(), 0o600).expect("an event");
    used.set().expect("ours");
    let dry = folder.unchanged(|| clean(&folder, &["--dry-run"]));
    assert_eq!(
        (dry.code, dry.out.as_str()),
        (Some(0), "would remove exit event left: no process has it open\n")
    );
    let said = clean(&folder, &["--verbose"]);
    let pid = std::process::id();
    let in_use = format!("kept exit event used: in use by pid {pid}\n");
    assert_eq!(said.out, format!("removed exit event left: no process has it open\n{in_use}"));
    assert_eq!(folder.names(), ["used.shmlock-event"]);
    let said = clean(&folder, &["used"]);
    assert_eq!(
        (said.code, said.out),
        (Some(1), in_use),
        "the absent lock of this name is not reported"
    );
    drop(used);
}

#[test]
fn a_name_means_the_lock_and_the_exit_event() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _ = folder.put("both", &[0; 192]);
    fs::write(folder.path().join("both.shmlock-event"), [0; 192]).expect("a file can be written");
    let said = clean(&folder, &["both"]);
    assert_eq!(
        said.out,
        "removed both: free, and no process has it open\n\
         removed exit event both: no process has it open\n"
    );
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(folder.names().is_empty());
}
