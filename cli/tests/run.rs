//! `run` does more than flock(1): it reports holders and deaths, forwards signals, leaves no file.

use std::fs;

use shmlock::{LockState, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, as_root};
use shmlock_tests::{quietly, until};

use crate::program::{Ended, Running, UNTIL_TOLD, ended, says, shmlock};

fn run<'a>(name: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&["run", name], args].concat()
}

fn running(name: &str, args: &[&str]) -> Running {
    Running::start(shmlock(run(name, args))).ready()
}

#[test]
fn a_timeout_names_the_holder_with_verbose_and_is_silent_without() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = running(&name, &[&["-d", "belt 7", "--"], &UNTIL_TOLD[..]].concat());
    let pid = format!("pid {}", holder.pid());
    for (options, lines) in
        [(&["-n", "-v"][..], 1), (&["-w", "0", "-v"], 2), (&["-w", "0.05", "-v"], 2)]
    {
        let Ended { code, out, err } = says(run(&name, &[options, &["--", "true"]].concat()));
        let last = err.lines().last().expect("it says something");
        assert!(code == Some(1) && out.is_empty(), "{err}");
        assert!(
            last.starts_with("shmlock: ") && last.contains(&pid) && last.contains("\"belt 7\""),
            "{err}"
        );
        assert_eq!(err.lines().count(), lines, "{err}");
        assert_eq!(
            last.contains("within 0.05 s: "),
            options.contains(&"0.05"),
            "the time as given: {err}"
        );
    }
    for options in [&["-n"][..], &["-w", "0.02"], &["-n", "-q"]] {
        let silent = says(run(&name, &[options, &["--", "true"]].concat()));
        assert_eq!(silent, Ended { code: Some(1), out: String::new(), err: String::new() });
    }
    holder.close();
    assert_eq!(holder.code(), 1, "it releases the lock; killed, it would leave the file");
}

#[test]
fn a_waiter_names_the_holder_only_with_verbose() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for verbose in [true, false] {
        let mut holder = running(&name, &UNTIL_TOLD);
        let options: &[&str] = if verbose { &["-v"] } else { &[] };
        let mut waiter = Running::start(shmlock(run(&name, &[options, &UNTIL_TOLD].concat())));
        until(|| {
            quietly(|| ShmLock::builder(&name).inspect())
                .is_ok_and(|seen| seen.is_some_and(|seen| seen.status.waiters))
        });
        holder.write_line("end");
        assert_eq!(waiter.read_line(), "ready");
        waiter.write_line("end");
        let said = waiter.errors();
        assert_eq!(
            said.contains(&format!("waiting for lock {name:?}, held by pid {}", holder.pid())),
            verbose,
            "{said}"
        );
        assert_eq!(said.contains("getting lock"), verbose);
        assert_eq!(said.is_empty(), !verbose, "{said}");
        assert_eq!((holder.code(), waiter.code()), (0, 0));
    }
}

#[test]
fn a_recovery_is_reported_with_verbose_and_the_lock_is_consistent_afterwards() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for verbose in [true, false] {
        let mut dead = running(&name, &[&["-F"], &UNTIL_TOLD[..]].concat());
        dead.kill();
        let said = says(run(&name, if verbose { &["-v", "true"] } else { &["true"] }));
        assert_eq!(said.code, Some(0));
        let reported = said.err.contains("died holding it")
            && said.err.contains(&format!("pid {}", dead.pid()));
        assert_eq!(reported, verbose, "{}", said.err);
        assert!(fixture.files().is_empty(), "consistent, so that the file was removed");
    }
}

#[test]
fn the_lock_of_a_killed_wrapper_stays_held_while_its_command_runs() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = running(&name, &UNTIL_TOLD);
    holder.kill();
    let status = says(["status", &name]);
    let users =
        status.out.lines().find(|line| line.trim_start().starts_with("users")).expect("a line");
    assert!(
        status.out.contains(&format!("pid {}, which has ended", holder.pid())),
        "{}",
        status.out
    );
    assert!(users.contains("(sh)"), "the process that keeps the lock is shown: {users}");
    assert_eq!(status.code, Some(0), "the lock is in order");
    holder.close();
    holder.read_to_end();
    let after = says(run(&name, &["-v", "true"]));
    assert!(after.code == Some(0) && after.err.contains("died holding it"), "{}", after.err);
}

#[test]
fn signals_to_run_reach_the_command() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for (signal, word) in [
        (libc::SIGHUP, "HUP"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGTERM, "TERM"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
        (libc::SIGALRM, "ALRM"),
    ] {
        let script = format!("trap 'echo trapped; exit 40' {word}; echo ready; read _");
        let mut holder = running(&name, &["sh", "-c", &script]);
        holder.signal(signal);
        assert_eq!(holder.read_line(), "trapped", "{word}");
        assert_eq!(holder.code(), 40, "{word}");
        let mut holder = running(&name, &UNTIL_TOLD);
        holder.signal(signal);
        assert_eq!(holder.code(), 1000 + signal, "{word}: by the signal itself");
        assert!(fixture.files().is_empty(), "{word}: released, no dead owner");
    }
}

#[test]
fn a_signal_that_comes_when_the_command_has_ended_changes_nothing() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut holder = Running::start(shmlock(run(&name, &["sh", "-c", "echo $$; read _; exit 3"])));
    let stat = format!("/proc/{}/stat", holder.read_line());
    holder.signal(libc::SIGSTOP); // so that it receives all that follows at once
    holder.close();
    until(|| fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")));
    holder.signal(libc::SIGUSR1);
    holder.signal(libc::SIGTERM);
    holder.signal(libc::SIGCONT);
    assert_eq!(holder.code(), 3);
    assert!(fixture.files().is_empty(), "released and closed");
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_ignored() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let shmlock = env!("CARGO_BIN_EXE_shmlock");
    for (verb, ready) in
        [("hold \"$1\" --for 1000", "holding"), ("run \"$1\" sh -c 'echo ready; read _'", "ready")]
    {
        let mut sh = std::process::Command::new("sh");
        sh.args(["-c", &format!("trap '' HUP; exec \"$0\" {verb}"), shmlock, &name]);
        let mut program = Running::start(sh);
        assert!(program.read_line().starts_with(ready));
        program.signal(libc::SIGHUP); // of the two, `run` would receive this one first
        program.signal(libc::SIGTERM);
        assert_eq!(program.code(), 1000 + libc::SIGTERM, "{verb}");
        assert!(fixture.files().is_empty(), "{verb}: released, no dead owner");
    }
}

#[test]
fn the_command_has_the_signal_mask_and_descriptors_that_it_would_have_without_run() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let state = "grep -E '^Sig(Blk|Cgt)' /proc/self/status; ls /proc/self/fd | wc -l";
    let mut plain = std::process::Command::new("sh");
    plain.args(["-c", state]);
    let plain = ended(plain).out;
    assert_eq!(says(run(&name, &["-o", "sh", "-c", state])).out, plain, "-o passes nothing on");
    let count = |text: &str| {
        text.lines().last().and_then(|count| count.trim().parse::<u32>().ok()).expect("a number")
    };
    for options in [&[][..], &["-F"]] {
        let ours = says(run(&name, &[options, &["sh", "-c", state]].concat())).out;
        assert_eq!(ours.lines().next(), plain.lines().next());
        assert_eq!(count(&ours), count(&plain) + 1, "the lifeline, and no more");
    }
    says(run(&name, &["true"])); // recovers the lock that -F left
}

#[test]
fn a_command_that_cannot_be_executed_leaves_nothing_held() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for options in [&[][..], &["-F"], &["-o"]] {
        let said = says(run(&name, &[options, &["--", "no such command"]].concat()));
        assert_eq!(said.code, Some(69));
        assert!(
            said.err.contains("\"no such command\"") && said.err.lines().count() == 1,
            "{}",
            said.err
        );
        assert!(fixture.files().is_empty(), "{options:?}");
    }
}

#[test]
fn the_hint_on_a_command_that_cannot_be_executed_fits_the_errno() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let folder = Folder::new(&fixture);
    let script = folder.path().join("script");
    let says_of = |mode: u32, text: &str| {
        fs::write(&script, text).expect("ours");
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .expect("ours");
        says(run(&name, &[script.to_str().expect("UTF-8")]))
    };
    let missing = says_of(0o700, "#!/no/such/interpreter\n");
    assert!(
        missing.code == Some(69) && missing.err.contains("its interpreter is missing"),
        "{missing:?}"
    );
    let closed = says_of(0o600, "#!/bin/sh\n");
    assert!(closed.code == Some(69) && closed.err.contains("make it executable"), "{closed:?}");
    fs::remove_file(&script).expect("ours");
    let absent = says(run(&name, &["/no/such/program"]));
    assert!(absent.code == Some(69) && absent.err.contains("check its path"), "{absent:?}");
    let named = says(run(&name, &["no-such-program"]));
    assert!(named.code == Some(69) && named.err.contains("its name and PATH"), "{named:?}");

    // With few descriptors the lock cannot be opened, with many the command is executed. With a
    // number between these, fork succeeds and exec does not.
    let limited = |limit: u32| {
        let mut sh = std::process::Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" run \"$1\" true");
        sh.args(["-c", &script, env!("CARGO_BIN_EXE_shmlock"), &name]);
        let said = ended(sh);
        assert!(
            !fixture.files().iter().any(|file| file.ends_with(".shmlock")),
            "{limit}: {said:?}"
        );
        said
    };
    let refused: Vec<_> =
        (3..40).map(limited).filter(|said| said.err.contains("cannot execute")).collect();
    assert!(!refused.is_empty(), "no limit is met by the command alone");
    for said in refused {
        assert!(said.code == Some(71) && said.err.contains("ulimit -n"), "{said:?}");
    }
}

#[test]
fn a_usage_error_is_one_line_with_a_hint() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let cases: [(&[&str], &str); 16] = [
        (&["run", "-s", &name, "true"], "there is no shared lock"),
        (&["run", "--shared", &name], "there is no shared lock"),
        (&["run", "-u", &name], "nothing to unlock"),
        (&["run", "--fcntl", &name, "true"], "omit --fcntl"),
        (&["run", &name, "-w", "", "true"], "such as 1.5"),
        (&["run", &name, "-w", "inf", "true"], "not endless"),
        (&["run"], "shmlock run --help"),
        (&["run", &name], "shmlock run --help"),
        (&["run", &name, "--nonblokc", "true"], "--nonblock"),
        (&["run", &name, "-w", "-1", "true"], "not negative"),
        (&["run", &name, "--mode", "9", "true"], "octal"),
        (&["run", &name, "--mode", "640", "true"], "give the owner 600"),
        (&["run", &name, "--trust-owner", "root", "true"], "id -u"),
        (&["run", "a/b", "true"], "--directory"),
        (&["run", &name, "-d", &"x".repeat(64), "true"], "shorten it to 63"),
        (&["no-such-verb"], "shmlock --help"),
    ];
    for (args, remedy) in cases {
        let said = says(args);
        assert!(said.code == Some(64) && said.out.is_empty(), "{args:?}: {said:?}");
        assert!(
            said.err.contains(remedy) && said.err.lines().count() == 1,
            "{args:?}: {}",
            said.err
        );
    }
    assert_eq!(says::<&str>([]).code, Some(64));
    for verb in ["run", "status", "hold"] {
        let said = says([verb, "-V"]);
        assert!(
            said.code == Some(0) && said.out.ends_with(concat!(env!("CARGO_PKG_VERSION"), "\n")),
            "{said:?}"
        );
    }
    assert_eq!(
        says(["run", &name, "--mode", "0o660", "true"]).code,
        Some(0),
        "as the messages write it"
    );
    let gone = says(["run", "--directory", "/no/such/directory", &name, "true"]);
    assert!(gone.code == Some(66) && gone.err.contains("/no/such/directory"), "{gone:?}");
}

#[test]
fn a_file_that_is_no_lock_is_refused_and_left_alone() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let path = format!("/dev/shm/{name}.shmlock");
    fs::write(&path, "data").expect("a file can be written");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    for verb in [&["run", &name, "true"][..], &["hold", &name], &["status", &name]] {
        let said = says(verb);
        assert!(said.code == Some(65) && said.err.contains(&path), "{said:?}");
    }
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "data");
    fs::remove_file(&path).expect("ours");
}

#[test]
fn more_than_one_owner_can_be_trusted() {
    let fixture = Solo::new();
    if !as_root("to give a file away") {
        return;
    }
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let theirs = || {
        let path = folder.put("l", &[]);
        std::os::unix::fs::chown(&path, Some(4321), None).expect("root");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("root");
    };
    theirs();
    let try_with = |uids: &[&str]| {
        let trusted: Vec<&str> = uids.iter().flat_map(|uid| ["--trust-owner", uid]).collect();
        says([&["run", "--directory", directory], &trusted[..], &["l", "true"]].concat())
    };
    for uids in [&[][..], &["1"], &["1", "2"]] {
        let said = try_with(uids);
        assert!(said.code == Some(65) && said.err.contains("user 4321"), "{uids:?}: {said:?}");
    }
    for uids in [&["1", "4321", "2"][..], &["4321", "1"], &["1", "4321"]] {
        assert_eq!(try_with(uids).code, Some(0), "{uids:?}");
        theirs(); // the last user has removed the file
    }
}

#[test]
fn the_default_description_is_the_command_cut_to_the_limit() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let long = "ü".repeat(40);
    let mut holder = running(&name, &["sh", "-c", "echo ready; read _", &long]);
    let seen = quietly(|| ShmLock::builder(&name).inspect()).expect("a lock").expect("there");
    let text = seen.holder.expect("held").description().to_owned();
    assert!(
        text.starts_with("sh -c echo ready; read _ üü") && text.ends_with('…') && text.len() <= 63,
        "{text}"
    );
    holder.close();
    holder.code();
}

#[test]
fn the_lock_is_shared_with_programs_that_use_the_library() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let lock = quietly(|| ShmLock::open(&name)).expect("a lock");
    let guard = lock.lock().expect("free");
    assert_eq!(says(run(&name, &["-n", "-E", "9", "true"])).code, Some(9));
    drop(guard);
    let mut holder = running(&name, &UNTIL_TOLD);
    assert!(lock.try_lock().expect("a lock").is_none());
    assert!(matches!(lock.status().expect("a lock").state, LockState::Held(_)));
    holder.close();
    let guard = lock.lock().expect("it ends");
    assert!(guard.recovered().is_none(), "it was released");
    assert_eq!(holder.code(), 1);
    drop(guard);
    quietly(|| drop(lock));
}
