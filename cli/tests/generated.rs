//! Help, completions and manual pages are complete.

use std::fs;
use std::process::{Command, Stdio};

use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::{output, skipped, start};

use crate::program::{ended, says};

const VERBS: [&str; 10] = [
    "run",
    "status",
    "list",
    "watch",
    "clean",
    "hold",
    "bench",
    "probe-memory",
    "completions",
    "man",
];

#[test]
fn the_help_of_each_verb_that_can_fail_says_what_the_exit_status_means() {
    let _fixture = Solo::new(); // a fork would keep the file open that another test executes
    let all = says(["--help"]);
    assert!(
        all.code == Some(0) && all.out.contains("Exit status:") && all.out.contains("NO_COLOR"),
        "{all:?}"
    );
    for verb in VERBS {
        assert!(all.out.contains(verb));
        let help = says([verb, "--help"]);
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
        let generates = ["completions", "man"].contains(&verb);
        assert_eq!(help.out.contains("Exit status:"), !generates, "{verb}");
        assert!(help.out.lines().all(|line| line.chars().count() <= 120), "{verb}");
    }
    assert_eq!(says(["--version"]).out, format!("shmlock {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_name_every_verb_and_have_valid_syntax() {
    let _fixture = Solo::new(); // as above
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = says(["completions", shell]).out;
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
        let mut check = Command::new(shell);
        match start(check.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped())) {
            Ok(mut child) => {
                std::io::Write::write_all(
                    &mut child.stdin.take().expect("piped"),
                    script.as_bytes(),
                )
                .expect("it reads");
                let output = child.wait_with_output().expect("it ends");
                assert!(
                    output.status.success(),
                    "{shell}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Err(_) => skipped(&format!("the syntax of completions for {shell}, which is not here")),
        }
    }
    assert_eq!(says(["completions", "no-such-shell"]).code, Some(64));
}

#[test]
fn there_is_a_manual_page_for_the_program_and_for_each_verb() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    assert_eq!(says(["man", "--to", directory]).code, Some(0));
    let mut expected: Vec<_> = VERBS.iter().map(|verb| format!("shmlock-{verb}.1")).collect();
    expected.push("shmlock.1".to_owned());
    expected.sort();
    assert_eq!(folder.names(), expected);
    for file in expected {
        let page = fs::read_to_string(folder.path().join(&file)).expect("just written");
        assert!(page.contains(".SH NAME") && !page.contains("EXTRA"), "{file}");
        assert!(
            page.contains(concat!("\"shmlock ", env!("CARGO_PKG_VERSION"), "\"")),
            "the foot of {file}"
        );
        let mut render = Command::new("man");
        render.args(["--warnings", "-l"]).arg(folder.path().join(&file)).env("MANWIDTH", "100");
        if output(Command::new("man").arg("--version")).is_ok() {
            let read = ended(render);
            assert!(read.code == Some(0) && read.err.is_empty(), "{file}: {read:?}");
        } else {
            skipped("the rendering of manual pages by man(1), which is not here");
        }
    }
    let run = says(["man", "run"]).out;
    let synopsis = r".SH SYNOPSIS
.nf
shmlock run NAME [OPTIONS] [\-\-] CMD [ARGS]...
shmlock run NAME [OPTIONS] \-c LINE
.fi
.SH ";
    for part in [
        synopsis,
        r"; also \-\-nb, \-\-nonblocking",
        r"; also \-\-timeout",
        ".SH \"EXIT STATUS\"\n.TP\nany\n",
        "conflict",
        ".SH NOTES",
    ] {
        assert!(run.contains(part), "{part}: {run}");
    }
    assert_eq!(
        run.into_bytes(),
        fs::read(folder.path().join("shmlock-run.1")).expect("just written")
    );
    assert_eq!(says(["man", "no-such-verb"]).code, Some(64));
    assert_eq!(says(["man", "--to", "/no/such/directory"]).code, Some(73));
}
