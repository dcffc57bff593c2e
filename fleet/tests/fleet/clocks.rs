//! Tests clocks that are set, and machines whose clocks began at other moments.
//!
//! A suspended machine cannot be shown here: no namespace lets `CLOCK_BOOTTIME` jump under a
//! running process. The unit tests of `hold.rs` and the model do it with a clock of their own.

use std::path::Path;
use std::process::Command;

use crate::driver::Actor;
use crate::scene::{RENEWED, Scene};

const ACTOR: &str = env!("CARGO_BIN_EXE_shmlock-fleet-actor");

/// Returns the path of Debian's libfaketime, by which a process sees another time of day.
fn faketime() -> Option<String> {
    let architecture = std::env::consts::ARCH;
    let path = format!("/usr/lib/{architecture}-linux-gnu/faketime/libfaketime.so.1");
    let is_there = Path::new(&path).exists();
    if !is_there {
        shmlock_tests::skipped("there is no libfaketime: bash ci/fleet.sh installs it");
    }
    is_there.then_some(path)
}

#[test]
fn a_time_of_day_that_is_set_has_no_effect() {
    let Some(library) = faketime() else { return };
    let Some(scene) = Scene::new(1) else { return };
    let file = scene.file("time");
    let set = |offset: &str| std::fs::write(&file, offset).expect("a file");
    set("+0");
    let mut command = Command::new(ACTOR);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let mut holder = Actor::spawn_by(command, &scene.arguments(RENEWED, "a", &scene.endpoints()));
    let mut waiter = scene.actor("b");
    let first = holder.locks("lock");
    // libfaketime removes its files at an exit, and this actor is killed. It has them open.
    for kind in ["faketime_shm", "sem.faketime_sem"] {
        std::fs::remove_file(format!("/dev/shm/{kind}_{}", holder.pid())).expect("libfaketime's");
    }
    waiter.tell("lock");
    scene.until_queue_has(2);
    let today: i64 = holder.ask("day").parse().expect("a number");
    for days in [400, -400] {
        set(&format!("{days:+}d"));
        let day: i64 = holder.ask("day").parse().expect("a number");
        assert!((day - today - days).abs() <= 1, "the clock is not set: {today}, {day}");
        holder.until_renewed();
        holder.until_renewed();
    }
    assert_eq!(holder.ask("write"), "accepted");
    assert_eq!(holder.ask("release"), "released");
    assert!(waiter.has_locked() > first);
    assert_eq!(waiter.ask("release"), "released");
    scene.settle(&mut [("a", &mut holder), ("b", &mut waiter)]);
}

/// Each process has a time since boot of its own: no instant of one machine means anything on
/// another.
#[test]
fn clocks_that_began_at_other_moments_have_no_effect() {
    let in_another_time = |seconds: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--time", "--monotonic", seconds]);
        command.args(["--boottime", seconds, "--fork", "--kill-child", "--"]);
        command
    };
    let is_possible = shmlock_tests::output(in_another_time("1000000").arg("true"));
    if !is_possible.is_ok_and(|output| output.status.success()) {
        return shmlock_tests::skipped("there are no time namespaces here: unshare --time fails");
    }
    let Some(scene) = Scene::new(1) else { return };
    let [mut holder, mut waiter] = ["1000000", "5000000"].map(|seconds| {
        let mut command = in_another_time(seconds);
        command.arg(ACTOR);
        let machine = if seconds == "1000000" { "a" } else { "b" };
        Actor::spawn_by(command, &scene.arguments(RENEWED, machine, &scene.endpoints()))
    });
    let first = holder.locks("lock");
    waiter.tell("lock");
    scene.until_queue_has(2);
    holder.until_renewed();
    assert_eq!(holder.ask("write"), "accepted");
    assert_eq!(holder.ask("release"), "released");
    assert!(waiter.has_locked() > first);
    assert_eq!(waiter.ask("write"), "accepted");
    assert_eq!(waiter.ask("release"), "released");
    scene.settle(&mut [("a", &mut holder), ("b", &mut waiter)]);
}
