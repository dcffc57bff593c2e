//! A lock that is lost ends the command.

use std::process::Command;

use shmlock_tests::hostile::as_root;
use shmlock_tests::skipped;

use super::scene::{SHORT, Scene};
use crate::program::{Running, ended};

/// The exit status for a lock that was lost.
pub(super) const LOST: i32 = 79;

/// Says that it runs, and goes on for ever.
const FOREVER: &str = "echo ready; while :; do sleep 1000; done";

#[test]
fn a_deleted_key_ends_the_command() {
    let Some(scene) = Scene::new() else { return };
    let script = "trap 'echo term; exit 5' TERM; echo ready; read _; read _";
    let mut run = scene.running_shortly("a", &["--", "sh", "-c", script]);
    scene.delete_keys();
    assert_eq!(run.read_to_end(), "term\n");
    assert_eq!(run.code(), LOST);
    let said = run.errors();
    assert!(said.contains("is lost: its key was deleted"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(
        ended(scene.run("a", &["-n", "--", "true"])).code,
        Some(0),
        "the local lock is free"
    );
}

#[test]
fn a_revoked_lease_ends_the_command() {
    let Some(scene) = Scene::new() else { return };
    let mut run = scene.running_shortly("a", &["--", "sh", "-c", FOREVER]);
    let leases = scene.members[0].ctl(&["lease", "list"]);
    let lease = leases.lines().last().expect("a lease");
    scene.members[0].ctl(&["lease", "revoke", lease]);
    assert_eq!(run.read_to_end(), "");
    assert_eq!(run.code(), LOST);
}

#[test]
fn without_servers_the_command_ends_at_the_deadline_although_it_ignores_term() {
    let Some(mut scene) = Scene::new() else { return };
    let script = format!("trap '' TERM; sh -c '{FOREVER}'");
    let mut run = scene.running_shortly("a", &["--", "sh", "-c", &script]);
    scene.members[0].kill();
    // The end of its output is that of all its processes.
    assert_eq!(run.read_to_end(), "");
    assert_eq!(run.code(), LOST);
    let said = run.errors();
    assert!(said.contains("not renewed in time"), "{said}");
}

#[test]
fn the_processes_that_the_command_has_started_end_as_well() {
    let Some(scene) = Scene::new() else { return };
    // One is a child, one a grandchild in a session of its own; both ignore TERM. The command ends.
    let script = "trap '' TERM; sleep 1000 & setsid sh -c 'sleep 1000 & wait' & \
                  trap 'exit 0' TERM; echo ready; wait";
    let mut run = scene.running_shortly("a", &["--grace", "0.1", "--", "sh", "-c", script]);
    scene.delete_keys();
    assert_eq!(run.read_to_end(), "", "the pipe is closed by all of them");
    assert_eq!(run.code(), LOST);
}

#[test]
fn the_command_ends_without_a_proc_file_system() {
    let Some(scene) = Scene::new() else { return };
    // Without a process of its own, which would not be found.
    let script = "trap 'echo term' TERM; echo ready; while :; do read _; done";
    let run = scene.verb_with_ttl(SHORT, "run", "a", &["--", "sh", "-c", script]);
    let without = |arguments: &[&str]| {
        let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).args(arguments);
        command
    };
    if !as_root("to be without /proc") || ended(without(&["true"])).code != Some(0) {
        return skipped("a command without /proc, of which none can be made here");
    }
    let mut command = without(&[]);
    command.arg(run.get_program()).args(run.get_args());
    let mut run = Running::start(command).ready();
    scene.delete_keys();
    assert_eq!(run.read_line(), "term");
    // KILL follows.
    assert_eq!(run.code(), LOST);
}

#[test]
fn a_loss_that_is_seen_at_the_end_only_has_its_status() {
    let Some(scene) = Scene::new() else { return };
    let mut run = scene.running_shortly("a", &["--", "sh", "-c", "echo ready; read _"]);
    scene.delete_keys();
    run.write_line("end");
    assert_eq!(run.code(), LOST);
    let said = run.errors();
    assert!(said.contains("lost"), "{said}");
}

#[test]
fn servers_that_are_gone_at_the_release_change_no_status() {
    let Some(mut scene) = Scene::new() else { return };
    let options = ["--", "sh", "-c", "echo ready; read _; exit 6"];
    let mut run = scene.running("a", &options);
    scene.members[0].kill();
    run.write_line("end");
    assert_eq!(run.code(), 6);
    let said = run.errors();
    assert!(said.contains("cannot release") && said.contains("by itself within"), "{said}");
    scene.members[0].restart();
}
