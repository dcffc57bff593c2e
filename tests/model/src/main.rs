//! Prints what the search finds. Without an argument: the cases of the tests. `large`: the larger
//! bounds only. `trace`: each flaw with a shortest trace to its breach. The ticket lock comes last.

use std::env;
use std::process::ExitCode;

use shmlock_model::cases::{Case, FLAWS, FlawCase, LARGE, SMALL, STOPPED};
use shmlock_model::{Flaws, Report, search, ticket};

fn main() -> ExitCode {
    let argument = env::args().nth(1).unwrap_or_default();
    let fine = match argument.as_str() {
        "large" => hold(&LARGE) & hold_tickets(&ticket::cases::LARGE),
        "trace" => break_properties(true) & break_ticket_properties(true),
        _ => {
            hold(&SMALL)
                & hold(&[STOPPED])
                & break_properties(false)
                & hold_tickets(&ticket::cases::SMALL)
                & break_ticket_properties(false)
        }
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Searches the cases; returns `true` if every property holds in each.
fn hold(cases: &[Case]) -> bool {
    println!(
        "{:38} {:>3} {:>3} {:>10} {:>11} {:>7} {:>6}",
        "case", "p", "v", "states", "moves", "s", "MiB"
    );
    let mut fine = true;
    for Case { name, bounds } in cases {
        let report = search(*bounds, Flaws::NONE);
        let Report { states, transitions, .. } = report;
        let (seconds, mebibytes) = (report.time.as_secs_f64(), report.bytes >> 20);
        let (processes, visits) = (bounds.processes, bounds.visits);
        print!(
            "{name:38} {processes:3} {visits:3} {states:10} {transitions:11} {seconds:7.2} \
             {mebibytes:6}"
        );
        match report.broken {
            None => println!("  all hold"),
            Some((breach, trace)) => {
                fine = false;
                println!("  {}: {breach}\n{trace}", breach.property());
            }
        }
    }
    fine
}

/// Searches the flaws; returns `true` if each is found as expected.
fn break_properties(with_traces: bool) -> bool {
    println!("\n{:38} {:32} {:46} {:>5} {:>9}", "flaw", "searched in", "breaks", "steps", "states");
    let mut fine = true;
    for FlawCase { name, flaws, case, breach: expected } in FLAWS {
        let report = search(case.bounds, flaws);
        fine &= report.breach() == Some(expected);
        let Some((breach, trace)) = report.broken else {
            println!("{name:38} {:32} NOTHING", case.name);
            continue;
        };
        let (steps, states, property) = (trace.len(), report.states, breach.property());
        println!(
            "{name:38} {:32} {property:2} {:43} {steps:5} {states:9}",
            case.name,
            breach.to_string()
        );
        if with_traces {
            println!("{trace}");
        }
    }
    fine
}

/// Searches the cases of the ticket lock; returns `true` if every property holds in each.
fn hold_tickets(cases: &[ticket::cases::Case]) -> bool {
    println!("\n{:38} {:>10} {:>11} {:>7}", "ticket lock", "states", "moves", "s");
    let mut fine = true;
    for case in cases {
        let report = ticket::search(case.bounds, None);
        let seconds = report.time.as_secs_f64();
        print!("{:38} {:10} {:11} {seconds:7.2}", case.name, report.states, report.transitions);
        match report.broken {
            None => println!("  all hold"),
            Some((breach, trace)) => {
                fine = false;
                println!("  {breach}\n{trace}");
            }
        }
    }
    fine
}

/// Searches the flaws of the ticket lock; returns `true` if each is found as expected.
fn break_ticket_properties(with_traces: bool) -> bool {
    println!("\n{:28} {:46} {:>9}", "flaw of the ticket lock", "breaks", "states");
    let mut fine = true;
    for case in ticket::cases::FLAWS {
        let report = ticket::search(case.bounds, Some(case.flaw));
        fine &= report.breach() == Some(case.breach);
        let name = format!("{:?}", case.flaw);
        let Some((breach, trace)) = report.broken else {
            println!("{name:28} NOTHING");
            continue;
        };
        println!("{name:28} {:46} {:9}", breach.to_string(), report.states);
        if with_traces {
            println!("{trace}");
        }
    }
    fine
}
