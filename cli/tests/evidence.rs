//! The program does not guess: about hidden processes, other pid namespaces, and unreadable files.

use std::process::Command;

use serde_json::Value;
use shmlock_tests::hostile::{Folder, Solo, as_root};
use shmlock_tests::{skipped, until};

use crate::program::{Ended, Running, UNTIL_TOLD, children, ended, kill, says, shmlock, state_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shmlock");

/// The number of a user without any rights here.
const STRANGER: &str = "4321";

fn json(said: &Ended) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Runs the program as another user. With `hidden`, proc(5) hides processes from that user.
fn as_stranger(hidden: bool, args: &[&str]) -> Ended {
    let mut command = Command::new("unshare");
    let mount = if hidden { "mount -t proc -o hidepid=2 proc /proc &&" } else { "" };
    let script = format!(
        "{mount} exec setpriv --reuid={STRANGER} --regid={STRANGER} --clear-groups \"$0\" \"$@\""
    );
    command.args(["--mount", "sh", "-c", &script, PROGRAM]).args(args);
    ended(command)
}

/// Returns `true` if a stranger can start the program here.
fn has_strangers() -> bool {
    let can = as_root("to be another user") && as_stranger(true, &["--version"]).code == Some(0);
    if !can {
        skipped("the view of another user, who cannot start the program here");
    }
    can
}

/// Returns the program as the first process of a pid namespace; `None` if there can be none.
fn in_namespace(args: &[&str]) -> Option<Command> {
    let namespace = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).args(args);
        command
    };
    if ended(namespace(&["true"])).code != Some(0) {
        skipped("the view of another pid namespace, which cannot be made here");
        return None;
    }
    Some(namespace(&[&[PROGRAM], args].concat()))
}

#[test]
fn a_living_owner_that_is_hidden_is_not_said_to_have_ended() {
    let fixture = Solo::new();
    if !has_strangers() {
        return;
    }
    let name = fixture.name("l");
    let mut holder =
        Running::start(shmlock([&["run", "--mode", "666", &name], &UNTIL_TOLD[..]].concat()))
            .ready();
    let pid = holder.pid();
    for hidden in [true, false] {
        let seen = json(&as_stranger(hidden, &["status", "--json", &name]));
        assert_eq!((&seen["state"], &seen["owner"]["pid"]), (&"held".into(), &pid.into()));
        assert_eq!(seen["owner"]["pid_is_gone"], Value::Null, "unknown: {seen}");
        let status = as_stranger(hidden, &["status", &name]).out;
        assert!(
            status.contains(&format!("pid {pid}, unless the number"))
                && !status.contains("has ended"),
            "{status}"
        );
        let list = as_stranger(hidden, &["list"]).out;
        let line = list.lines().find(|line| line.contains(&name)).expect("it is listed");
        let columns: Vec<_> = line.split_whitespace().collect();
        assert_eq!(columns[1], format!("{pid}?"), "{line}");
        assert_eq!(columns[8], "?", "hidden users are unknown, not absent: {line}");
    }
    let seen = json(&says(["status", "--json", &name]));
    assert_eq!(seen["owner"]["pid_is_gone"], Value::Bool(false), "root sees it");
    holder.close();
    holder.code();
}

#[test]
fn an_owner_that_is_seen_to_have_ended_is_said_to() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = Running::start(shmlock([&["run", &name], &UNTIL_TOLD[..]].concat())).ready();
    let pid = holder.pid();
    holder.kill();
    let seen = json(&says(["status", "--json", &name]));
    assert_eq!(
        (&seen["state"], &seen["owner"]["pid_is_gone"], &seen["owner"]["command"]),
        (&"held".into(), &Value::Bool(true), &Value::Null)
    );
    let list = says(["list"]).out;
    let line = list.lines().find(|line| line.contains(&name)).expect("it is listed");
    assert_eq!(line.split_whitespace().nth(1), Some(format!("({pid})").as_str()), "{line}");
    let refused = says(["run", "-nv", &name, "true"]).err;
    assert!(refused.contains(&format!("held by pid {pid}, which has ended, ")), "{refused}");
    holder.close();
    holder.read_to_end();
    says(["run", &name, "true"]); // recovers the lock and removes its file
}

#[test]
fn the_number_of_an_owner_in_another_pid_namespace_is_marked_everywhere() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let Some(command) = in_namespace(&[&["run", &name], &UNTIL_TOLD[..]].concat()) else { return };
    let mut holder = Running::start(command).ready();
    let seen = json(&says(["status", "--json", &name]));
    let owner = &seen["owner"];
    assert_eq!(
        (&owner["pid"], &owner["pid_is_ours"], &owner["pid_is_gone"]),
        (&1.into(), &false.into(), &Value::Null)
    );
    let namespace = owner["pid_namespace"].as_u64().expect("a number");
    let list = says(["list"]).out;
    let line = list.lines().find(|line| line.contains(&name)).expect("it is listed");
    let columns: Vec<_> = line.split_whitespace().collect();
    assert_eq!(columns[..2], ["-", &format!("1@{namespace}")], "{line}");
    let marked = format!("pid 1 of another pid namespace, {namespace}");
    for said in [
        says(["status", &name]).out,
        says(["watch", "--count", "1", &name]).out,
        says(["run", "-n", "-v", &name, "true"]).err,
        says(["run", "-w", "0.01", "-v", &name, "true"]).err,
        says(["hold", "-n", &name]).err,
        shmlock_tests::quietly(|| shmlock::ShmLock::builder(&name).inspect())
            .expect("a lock")
            .expect("there")
            .to_string(),
    ] {
        assert!(said.contains(&marked), "{said}");
        assert!(
            !said.replace(&marked, "").contains("pid 1 ") && !said.contains("pid 1,"),
            "{said}"
        );
    }
    holder.close();
    holder.code();
}

#[test]
fn where_proc_is_another_namespaces_its_numbers_are_not_shown_as_ours() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = Running::start(shmlock([&["run", &name], &UNTIL_TOLD[..]].concat())).ready();
    // With the /proc of outside, whose numbers have no meaning inside.
    let Some(command) = in_namespace(&["status", "--json", &name]) else { return };
    let seen = json(&ended(command));
    assert_eq!((&seen["state"], &seen["in_use"]), (&"held".into(), &true.into()));
    assert_eq!(seen["users"], Value::Array(Vec::new()), "{seen}");
    assert_eq!(seen["owner"]["command"], Value::Null);
    holder.close();
    holder.code();
}

#[test]
fn of_a_lock_that_cannot_be_read_is_said_what_can_be_seen_and_the_rest_is_null() {
    let fixture = Solo::new();
    if !has_strangers() {
        return;
    }
    let name = fixture.name("l");
    let mut holder = Running::start(shmlock([&["run", &name], &UNTIL_TOLD[..]].concat())).ready();
    let said = as_stranger(true, &["status", "--json", &name]);
    assert_eq!((said.code, said.err.as_str()), (Some(66), ""), "the answer has the error");
    let seen = json(&said);
    assert_eq!((&seen["state"], &seen["in_use"]), (&"unreadable".into(), &true.into()), "{seen}");
    let file = &seen["file"];
    assert_eq!(
        (&file["uid"], &file["mode"], &file["size"]),
        (&0.into(), &"0600".into(), &192.into()),
        "{seen}"
    );
    assert!(
        seen["error"].as_str().is_some_and(|error| error.contains(&name))
            && file["changed"].is_i64()
    );
    for field in
        ["owner", "waiters", "owner_died", "deaths", "acquisitions", "contended", "longest_hold"]
    {
        assert_eq!(seen[field], Value::Null, "{field}");
    }
    let said = as_stranger(true, &["status", &name]);
    assert!(said.code == Some(66) && said.err.lines().count() == 1, "{said:?}");
    assert!(
        said.out.contains("cannot be read")
            && said.out.contains("uid 0, gid 0, mode 0600, 192 bytes"),
        "{said:?}"
    );
    let list = as_stranger(true, &["list"]).out;
    let line = list.lines().find(|line| line.contains(&name)).expect("it is listed");
    let columns: Vec<_> = line.split_whitespace().collect();
    assert_eq!(columns[..9], ["-", "-", "unreadable", "-", "-", "-", "-", "-", "?"], "{line}");
    holder.close();
    holder.code();
}

#[test]
fn a_file_that_is_no_lock_gives_json_and_an_invalid_name_is_a_usage_error() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let _ = folder.put("text", &[b'x'; 192]);
    let said = says(["status", "--json", "--directory", directory, "text"]);
    let seen = json(&said);
    assert_eq!(
        (said.code, &seen["state"], &seen["file"]["size"]),
        (Some(65), &"unreadable".into(), &192.into())
    );
    let said = says(["status", "--json", "--directory", directory, "none"]);
    let seen = json(&said);
    assert_eq!(
        (said.code, &seen["state"], &seen["file"], &seen["deaths"]),
        (Some(0), &"absent".into(), &Value::Null, &0.into())
    );
    let said = says(["status", "--json", "a/b"]);
    assert!(said.code == Some(64) && said.out.is_empty(), "{said:?}");
}

#[test]
fn the_first_process_of_a_namespace_is_ended_by_a_signal_while_it_waits() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for verb in [&["run", "-v", &name, "true"][..], &["hold", "-v", &name]] {
        let mut holder =
            Running::start(shmlock([&["run", &name], &UNTIL_TOLD[..]].concat())).ready();
        let Some(command) = in_namespace(verb) else { return };
        let mut waiter = Running::start(command);
        assert!(waiter.read_error_line().contains("waiting for lock"));
        let first = children(waiter.pid())[0];
        kill(first, libc::SIGTERM);
        // The kernel does not let the first process end by a signal of its own.
        assert_eq!(waiter.code(), 128 + libc::SIGTERM, "{verb:?}");
        holder.close();
        holder.code();
    }
}

#[test]
fn the_first_process_of_a_namespace_forwards_signals_and_reaps_orphans() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    // The inner shell ends before its child, which becomes a child of the first process.
    let script =
        "trap 'echo term; exit 5' TERM; sh -c 'sleep 1000 >/dev/null &'; echo ready; read _";
    let Some(command) = in_namespace(&["run", &name, "sh", "-c", script]) else { return };
    let mut run = Running::start(command).ready();
    let first = children(run.pid())[0];
    let is_orphan =
        |pid: &u32| std::fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"sleep\n");
    let orphan = || children(first).into_iter().find(is_orphan);
    until(|| orphan().is_some());
    let orphan = orphan().expect("it was there");
    kill(orphan, libc::SIGKILL);
    until(|| state_of(orphan).is_none());
    kill(first, libc::SIGTERM);
    assert_eq!((run.read_line().as_str(), run.code()), ("term", 5));
}

#[test]
fn the_first_process_of_a_namespace_reaps_its_children_while_it_waits() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = Running::start(shmlock([&["run", &name], &UNTIL_TOLD[..]].concat())).ready();
    if in_namespace(&[]).is_none() {
        return;
    }
    // The shell becomes the program, which has its children then: one has ended already.
    let script = "exec 8<&0; : & read _ <&8 & exec \"$0\" run -v \"$1\" true 8<&-";
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "sh", "-c", script, PROGRAM, &name]);
    let mut waiter = Running::start(command);
    assert!(waiter.read_error_line().contains("waiting for lock"));
    let first = children(waiter.pid())[0];
    waiter.close(); // ends the child
    until(|| children(first).is_empty());
    holder.close();
    assert_eq!((holder.code(), waiter.code()), (1, 0));
}
