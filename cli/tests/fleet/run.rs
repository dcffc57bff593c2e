//! `run --fleet` excludes the commands of other machines, and keeps the rules of `run`.

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::Duration;

use shmlock_tests::hostile::Solo;
use shmlock_tests::network::Way;
use shmlock_tests::until;

use super::scene::{SHORT, Scene};
use crate::program::{Running, UNTIL_TOLD, ended, says, state_of};

#[test]
fn the_command_finds_name_and_token_and_its_status_is_that_of_run() {
    let Some(scene) = Scene::new() else { return };
    let script = "echo $SHMLOCK_FENCING_TOKEN; echo $SHMLOCK_LOCK_NAME; exit 3";
    let mut tokens = Vec::new();
    for machine in ["a", "b", "a"] {
        let run = ended(scene.run(machine, &["--", "sh", "-c", script]));
        assert_eq!((run.code, run.err.as_str()), (Some(3), ""));
        let (token, name) = run.out.trim().split_once('\n').expect("two lines");
        assert_eq!(name, scene.name);
        tokens.push(token.parse::<u64>().expect("a number"));
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    assert_eq!(scene.queue(), 0, "nothing is left in etcd");
}

#[test]
fn the_environment_is_inherited_and_two_variables_are_replaced() {
    let Some(scene) = Scene::new() else { return };
    let mut command = scene.run("a", &["--", "env", "-0"]);
    command.env("SHMLOCK_LOCK_NAME", "outer").env("EMPTY", "").env("LINES", "a\nb=c");
    let output = ended(command).out;
    let all: Vec<_> = output.split_terminator('\0').map(|line| line.split_once('=')).collect();
    let found: HashMap<_, _> = all.iter().map(|pair| pair.expect("a variable")).collect();
    assert_eq!(found.len(), all.len(), "no name twice");
    assert_eq!(found["SHMLOCK_LOCK_NAME"], scene.name);
    assert_eq!((found["EMPTY"], found["LINES"]), ("", "a\nb=c"));
    assert_eq!(found.get("PATH").map(|path| (*path).to_owned()), std::env::var("PATH").ok());
}

#[test]
fn a_busy_lock_ends_run_as_the_local_one_does() {
    let Some(scene) = Scene::new() else { return };
    let mut holder = scene.running("a", &[&["-d", "belt 7", "--"], &UNTIL_TOLD[..]].concat());
    let pid = format!("pid {}", holder.pid());
    for machine in ["a", "b"] {
        for (options, code) in [
            (&["-n"][..], 1),
            (&["-w", "0"], 1),
            (&["-w", "1"], 1),
            (&["-n", "-E", "7"], 7),
            (&["-w", "1", "-E", "0"], 0),
        ] {
            let silent = ended(scene.run(machine, &[options, &["--", "echo", "no"]].concat()));
            let all = (silent.code, silent.out.as_str(), silent.err.as_str());
            assert_eq!(all, (Some(code), "", ""), "{machine} {options:?}");
            let said = ended(scene.run(machine, &[options, &["-v", "--", "true"]].concat())).err;
            let last = said.lines().last().expect("it says something");
            assert!(last.contains(&pid) && last.contains("\"belt 7\""), "{machine}: {said}");
            assert_eq!(last.contains("within 1 s: "), options.contains(&"1"), "{said}");
        }
    }
    assert_eq!(scene.queue(), 1, "the others have left");
    holder.close();
    assert_eq!(holder.code(), 1);
    assert_eq!(ended(scene.run("b", &["-n", "--", "true"])).code, Some(0));
}

#[test]
fn a_waiter_gets_in_when_the_command_of_another_machine_ends() {
    let Some(scene) = Scene::new() else { return };
    let mut holder = scene.running("a", &UNTIL_TOLD);
    let mut waiter =
        Running::start(scene.run("b", &[&["-w", "1000", "-v"], &UNTIL_TOLD[..]].concat()));
    let said = waiter.read_error_line();
    let by = format!("held by pid {}", holder.pid());
    assert!(said.contains("waiting for fleet lock") && said.contains(&by), "{said}");
    scene.until_queue_has(2);
    holder.write_line("end");
    assert_eq!(holder.code(), 0);
    assert_eq!(waiter.read_line(), "ready");
    waiter.write_line("end");
    assert_eq!(waiter.code(), 0);
}

/// A request has a quarter of an hour here: the watchdog ends a `run` that waits for one.
#[test]
fn a_time_limit_is_kept_while_the_server_is_silent() {
    let Some(scene) = Scene::new() else { return };
    let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let url = format!("http://{}", server.local_addr().expect("its address"));
    // A millionth is over when the first request is made, as any limit may be on a busy machine.
    for (verbose, limit) in
        [(false, "0.5"), (true, "0.5"), (true, "0.05"), (false, "0.000001"), (true, "0.000001")]
    {
        let options = [&["-v"][usize::from(!verbose)..], &["-w", limit]].concat();
        let mut arguments = vec!["run", &scene.name, "--fleet", &url, "--ttl", "3600"];
        arguments.extend(options.iter().chain(&["--", "echo", "no"]));
        let run = ended(scene.bare(&arguments));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{options:?}: {}", run.err);
        assert_eq!(run.err.contains(&url), verbose, "{}", run.err);
    }
}

/// Two members share the time after which `-v` reports the wait, and the other refuses at once.
#[test]
fn a_verbose_run_is_as_patient_with_a_slow_member_as_a_silent_one() {
    let Some(scene) = Scene::new() else { return };
    let way = Way::to(scene.members[0].socket());
    way.delay(Duration::from_millis(150));
    let urls = format!("{},http://127.0.0.1:1", way.endpoint());
    for options in [&[][..], &["-v"], &["-v", "-w", "1000"]] {
        let mut arguments = vec!["run", &scene.name, "--fleet", &urls, "--ttl", "600"];
        arguments.extend(options.iter().chain(&["--", "echo", "ran"]));
        let run = ended(scene.bare(&arguments));
        assert_eq!((run.code, run.out.as_str()), (Some(0), "ran\n"), "{options:?}: {}", run.err);
    }
}

#[test]
fn a_signal_during_the_wait_withdraws_and_ends_run() {
    let Some(scene) = Scene::new() else { return };
    let mut holder = scene.running("a", &UNTIL_TOLD);
    for (machine, contenders) in [("a", 1), ("b", 2)] {
        let mut waiter = Running::start(scene.run(machine, &["-v", "--", "echo", "no"]));
        assert!(waiter.read_error_line().contains("waiting for"), "{machine}");
        scene.until_queue_has(contenders);
        waiter.signal(libc::SIGINT);
        assert_eq!(waiter.code(), 1000 + libc::SIGINT, "{machine}");
        assert_eq!(waiter.read_to_end(), "");
        assert_eq!(scene.queue(), 1, "{machine}: it has left the queue");
    }
    holder.write_line("end");
    assert_eq!(holder.code(), 0);
}

#[test]
fn a_signal_during_the_hold_is_the_commands() {
    let Some(scene) = Scene::new() else { return };
    let script = "trap 'echo caught' USR1; echo ready; read _; read _; exit 4";
    let mut run = scene.running("a", &["--", "sh", "-c", script]);
    run.signal(libc::SIGUSR1);
    assert_eq!(run.read_line(), "caught");
    run.close();
    assert_eq!(run.code(), 4);
    let mut run = scene.running("a", &UNTIL_TOLD);
    run.signal(libc::SIGTERM);
    assert_eq!(run.code(), 1000 + libc::SIGTERM, "it ended the command, and so run");
    assert_eq!(scene.queue(), 0);
}

#[test]
fn if_run_is_killed_the_command_is_killed_and_the_lock_is_free_after_the_ttl() {
    let Some(scene) = Scene::new() else { return };
    let script = "trap '' TERM; echo $$; echo $SHMLOCK_FENCING_TOKEN; read _; echo no";
    let mut run = Running::start(scene.verb_with_ttl(SHORT, "run", "a", &["-c", script]));
    let pid = run.read_line().parse().expect("a number");
    let token: u64 = run.read_line().parse().expect("a number");
    run.kill();
    assert_eq!(run.read_to_end(), "", "its input did not end before it");
    until(|| state_of(pid).is_none_or(|state| state == 'Z'));
    for machine in ["a", "b"] {
        let next = ended(scene.run(machine, &["-c", "echo $SHMLOCK_FENCING_TOKEN"]));
        assert!(next.out.trim().parse::<u64>().expect("a number") > token, "{machine}: {next:?}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_a_status_of_its_own() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let refused = |options: &[&str], code, word: &str| {
        let said = says([&["run", &name], options, &["--", "echo", "no"]].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{said:?}");
        assert!(said.err.contains(word) && said.err.lines().count() == 1, "{word}: {said:?}");
    };
    let nowhere = "http://127.0.0.1:1";
    refused(&["--fleet", nowhere], 68, nowhere);
    refused(&["--fleet", "127.0.0.1:1"], 64, "127.0.0.1:1");
    refused(&["--fleet", "env"], 64, "SHMLOCK_FLEET");
    refused(&["--fleet", nowhere, "-F"], 64, "-F");
    refused(&["--fleet", nowhere, "--ttl", "0"], 64, "second");
    for ttl in ["-1", "1.5", "10s"] {
        refused(&["--fleet", nowhere, "--ttl", ttl], 64, "whole seconds");
    }
    refused(&["--fleet", "http://127.0.0.1:65536"], 64, "65535");
    refused(&["--fleet", &format!("{nowhere},")], 64, "empty");
    refused(&["--fleet", "conveyor"], 64, "http://10.0.0.7:2379");
    refused(&["--fleet", nowhere, "--fleet-password-file", "p"], 64, "--fleet-user");
    let empty = ["--fleet-user", "u", "--fleet-password-file", "/dev/null"];
    refused(&[&["--fleet", nowhere], &empty[..]].concat(), 66, "/dev/null");
    refused(&["--fleet", nowhere, "--ttl", "10", "--grace", "5"], 64, "--grace 5");
    refused(&["--fleet", nowhere, "--fleet-ca", "/no/such/file"], 66, "/no/such/file");
    refused(&["--fleet", nowhere, "--fleet-key", "k.pem"], 64, "--fleet-cert");
    refused(&["--fleet", nowhere, "--fleet-user", "u"], 64, "--fleet-password-file");
    refused(&["--ttl", "5"], 64, "--fleet");
}
