//! `status`, `list` and `hold` with `--fleet`.

use std::process::Command;

use serde_json::Value;

use super::ending::LOST;
use super::scene::{SHORT, Scene};
use crate::program::{Ended, Running, UNTIL_TOLD, ended, shmlock};

fn json(scene: &Scene, verb: &str) -> Value {
    let shown = ended(scene.view(verb, &["--json"]));
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    serde_json::from_str(&shown.out).expect("JSON")
}

#[test]
fn status_and_list_show_holder_queue_and_token() {
    let Some(scene) = Scene::new() else { return };
    let free = json(&scene, "status");
    assert_eq!((&free["state"], &free["holder"]), (&"free".into(), &Value::Null));
    assert_eq!(json(&scene, "list")["locks"], Value::Array(Vec::new()));
    let script = "echo ready; echo $SHMLOCK_FENCING_TOKEN; read _";
    let mut holder = scene.running("a", &["-d", "belt 7", "--", "sh", "-c", script]);
    let token: u64 = holder.read_line().parse().expect("a number");
    let mut waiter = Running::start(scene.run("b", &["-d", "belt 8", "--", "true"]));
    scene.until_queue_has(2);

    let status = json(&scene, "status");
    assert_eq!((&status["name"], &status["state"]), (&scene.name.as_str().into(), &"held".into()));
    let host = rustix::system::uname().nodename().to_str().expect("text").to_owned();
    let shown = &status["holder"];
    assert_eq!((&shown["pid"], &shown["host"]), (&holder.pid().into(), &host.as_str().into()));
    assert_eq!(shown["description"], "belt 7");
    assert_eq!(shown["fencing_token"], token);
    assert!(shown["since"].as_u64().is_some_and(|since| since > 1_700_000_000));
    let waiters = status["waiters"].as_array().expect("an array");
    assert_eq!(waiters.len(), 1);
    assert_eq!(
        (&waiters[0]["pid"], &waiters[0]["description"]),
        (&waiter.pid().into(), &"belt 8".into())
    );
    let list = json(&scene, "list");
    assert_eq!(list["locks"].as_array().map(Vec::len), Some(1));
    let line = &list["locks"][0];
    assert_eq!((&line["name"], &line["waiters"]), (&scene.name.as_str().into(), &1.into()));
    assert_eq!(&line["holder"], shown);

    let Ended { code, out, .. } = ended(scene.view("status", &[]));
    assert_eq!(code, Some(0));
    for part in [
        format!("{}: held\n", scene.name),
        format!("holder        pid {} on {host}\n", holder.pid()),
        "description   belt 7\n".to_owned(),
        format!("fencing token {token}\n"),
        "waiters       1\n".to_owned(),
        format!("pid {} on {host}, \"belt 8\", arrived", waiter.pid()),
    ] {
        assert!(out.contains(&part), "{part}: {out}");
    }
    let lines = ended(scene.view("list", &[])).out;
    let (titles, line) = lines.trim_end().split_once('\n').expect("two lines");
    assert!(titles.starts_with("HOST") && line.ends_with("belt 7"), "{lines}");
    holder.write_line("end");
    assert_eq!((holder.code(), waiter.code()), (0, 0));
}

#[test]
fn hostile_keys_are_shown_without_harm() {
    let Some(scene) = Scene::new() else { return };
    let value = r#"{"host":"\u001b[2Jh","pid":7,"description":"a\nb"}"#;
    scene.members[0].ctl(&["put", &format!("{}x", scene.prefix()), value]);
    for (verb, options) in
        [("status", &[][..]), ("status", &["--json"]), ("list", &[]), ("list", &["--json"])]
    {
        let shown = ended(scene.view(verb, options));
        assert_eq!(shown.code, Some(0));
        assert!(!shown.out.contains('\u{1b}') && !shown.out.contains("a\nb"), "{}", shown.out);
    }
    let refused = ended(scene.run("a", &["-n", "-v", "--", "true"]));
    assert_eq!(refused.code, Some(1));
    assert!(!refused.err.contains('\u{1b}') && refused.err.lines().count() == 1, "{refused:?}");
    scene.delete_keys();
}

#[test]
fn hold_holds_until_the_end_of_its_input_and_tells_the_token() {
    let Some(scene) = Scene::new() else { return };
    let mut hold = Running::start(scene.verb("hold", "a", &[]));
    let said = hold.read_line();
    assert!(said.starts_with(&format!("holding {:?} (fencing token ", scene.name)), "{said}");
    let busy = ended(scene.verb("hold", "b", &["-n"]));
    assert_eq!(busy.code, Some(1));
    assert!(busy.err.contains(&format!("held by pid {}", hold.pid())), "{busy:?}");
    hold.close();
    assert_eq!((hold.code(), scene.queue()), (0, 0));
    let mut hold = Running::start(scene.verb("hold", "a", &[]));
    hold.read_line();
    hold.signal(libc::SIGTERM);
    assert_eq!((hold.code(), scene.queue()), (1000 + libc::SIGTERM, 0));
}

#[test]
fn a_lost_lock_ends_hold() {
    let Some(scene) = Scene::new() else { return };
    let mut hold = Running::start(scene.verb_with_ttl(SHORT, "hold", "a", &[]));
    hold.read_line();
    scene.delete_keys();
    assert_eq!(hold.code(), LOST);
    let said = hold.errors();
    assert!(said.contains("is lost: its key was deleted"), "{said}");
}

#[test]
fn the_url_may_come_from_the_environment() {
    let Some(scene) = Scene::new() else { return };
    let mut command = scene.bare(&["run", "--fleet", "env", &scene.name, "--"]);
    command.args(UNTIL_TOLD).env("SHMLOCK_FLEET", format!("http://127.0.0.1:1,{}", scene.url()));
    let mut run = Running::start(command).ready();
    assert_eq!(scene.queue(), 1, "the second member has answered");
    run.write_line("end");
    assert_eq!(run.code(), 0);
    let mut local = scene.bare(&["run", &scene.name, "true"]);
    local.env("SHMLOCK_FLEET", "http://127.0.0.1:1");
    assert_eq!(ended(local).code, Some(0), "the variable alone makes no lock a fleet's");
}

#[test]
fn a_directory_is_refused_where_it_has_no_meaning() {
    for verb in [&["status", "deploy"][..], &["list"]] {
        let mut command = shmlock(verb.iter().copied());
        command.args(["--fleet", "http://127.0.0.1:1", "--directory", "/tmp"]);
        let refused = ended(command);
        assert_eq!((refused.code, refused.out.as_str()), (Some(64), ""), "{refused:?}");
        assert!(refused.err.contains("--directory"), "{refused:?}");
    }
}

#[test]
fn each_silent_member_is_named() {
    let urls = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"];
    for verb in [&["status", "deploy"][..], &["list"]] {
        let mut command = shmlock(verb.iter().copied());
        command.args(["--fleet", &urls.join(",")]);
        let refused = ended(command);
        assert_eq!((refused.code, refused.out.as_str()), (Some(68), ""), "{refused:?}");
        assert!(urls.iter().all(|url| refused.err.matches(url).count() == 1), "{refused:?}");
        assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    }
}

#[test]
fn too_few_descriptors_are_named() {
    let Some(scene) = Scene::new() else { return };
    let by_name = "http://etcd-1.invalid:2379".to_owned();
    for url in [scene.url(), by_name.clone()] {
        let mut refusals = 0;
        for limit in 5..16 {
            let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
            let mut command = Command::new("sh");
            command.args(["-c", &script]).arg(shmlock([""; 0]).get_program());
            command.args(["run", "--fleet", &url, &scene.name, "true"]);
            let ran = ended(command);
            let is_enough = if url == by_name { Some(68) } else { Some(0) };
            if ran.code != is_enough {
                assert_eq!(ran.code, Some(71), "{limit}: {ran:?}");
                assert!(ran.err.contains("(os error 24)"), "{limit}: {ran:?}");
                assert!(ran.err.contains("ulimit -n"), "{limit}: {ran:?}");
                refusals += 1;
            }
        }
        assert!(refusals > 2, "no limit was too small");
    }
    assert_eq!(scene.queue(), 0);
}
