//! Executes the commands that an actor understands.
//!
//! ```text
//! command                              what it does; what it answers after `ok`
//!
//! open ID NAME [OPTION=VALUE]...       the uuid. Options: poll=MS wait=futex|poll event=ID
//!                                      block=never|transitions|held desc=TEXT dir=PATH patience=MS
//! clone ID FROM; close ID; leak ID
//! lock ID; for ID MS; release ID; consistent ID; describe ID TEXT
//! try ID; force ID; held ID; locked ID `true` or `false`
//! guard ID                             acquires by a guard, which lives until the next command:
//! unguard [release]                    drops or releases the guard
//! every ID                             each call that can fail, as `call=` and `ok` or the variant
//! holder ID                            `nobody`, or pid, uuid, description
//! recovered ID                         `no`, `somebody`, or pid, uuid, description
//! check ID                             the fields of `LockStatus`, each as `name=value`
//! fence ID                             the fencing token
//! count ID ACCOUNT ROUNDS ACTORS [MS]  after all actors have met; failed attempts
//! count - ACCOUNT ROUNDS ACTORS        the same without a lock
//! pass ID ACCOUNT [consistent]         one critical section: see `Passage`
//! churn NAME ACCOUNT ROUNDS ACTORS [tide]
//!                                      opens, counts and closes in each round, with `tide` all at
//!                                      once; the number of rounds, fewer on a slow machine.
//!                                      0 rounds: until the account says stop
//! event ID NAME; set ID; clear ID      a named exit event
//! handlers all|exit|signals [grace=MS] installs the exit handlers
//! note SIGNAL [info]                   counts a signal; `info`: by a handler with `SA_SIGINFO`
//! noted SIGNAL                         how many have been counted
//! ignore SIGNAL; exit-on SIGNAL        ignores it, or exits
//! raise SIGNAL                         sends it to this thread
//! blocked                              the ending signals that this thread blocks
//! reenter ID SIGNAL                    from now on the signal's handler tries that lock
//! reentered                            how often that handler acquired, was refused, got an error
//! sample ID ROUNDS SIGNAL              where it hit, each with SIGTERM unblocked and blocked:
//!                                      free, acquiring, holding, releasing
//! block ID NAME [OPTION=VALUE]...      opens a block of numbers. Options: schema=TEXT patience=MS
//!                                      create=N[:ACCOUNT]|stall|panic
//! unblock ID                           closes it
//! read ID                              the number that they all are, or `torn`; `told` of a death
//! fill ID N; add ID ROUNDS             sets them all to N; increments them so often
//! repair ID N                          sets them all to N and declares the data consistent
//! hold ID N; race ID                   fills in N, or one number after the other, and never ends
//! fork SOCKET; thread SOCKET [ID]      branches off; see `Voice::fork`
//! reap PID                             waits for a forked child; `exit N` or `signal N`
//! die HOW                              exit, _exit, abort, segv, memory, panic, exec, return; none
//! ```

use shmlock::Error;

use crate::state::{Done, State, variant_of};
use crate::{blocks, dying, locks, parse, signals, work};

/// The continuation after a command.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    /// Return to where the last guard was acquired, and drop it.
    Drop,
    /// The same, and release it.
    Release,
    /// End this process or thread.
    End,
}

/// Follows commands until the input ends.
pub(crate) fn serve(state: &mut State) {
    assert!(serve_frame(state) == Flow::End, "there is no guard to drop");
}

/// Serves until the innermost guard, if any, is to be dropped.
fn serve_frame(state: &mut State) -> Flow {
    while let Some(command) = state.line.hear() {
        let words: Vec<&str> = command.split_whitespace().collect();
        let flow = match words.as_slice() {
            [] => Flow::On,
            ["unguard"] => Flow::Drop,
            ["unguard", "release"] => Flow::Release,
            ["guard", id] => guard(state, id),
            words => match obey(state, words) {
                Ok(Done::Answer(answer)) => reply(state, &format!("ok {answer}")),
                Ok(Done::Silent) => Flow::On,
                Ok(Done::End) => Flow::End,
                Err(error) => reply(state, &line_of(&error)),
            },
        };
        if flow != Flow::On {
            return flow;
        }
    }
    Flow::End
}

fn reply(state: &mut State, answer: &str) -> Flow {
    state.line.say(answer.trim_end());
    Flow::On
}

/// Holds the lock by a guard in this frame while the inner frames serve.
fn guard(state: &mut State, id: &str) -> Flow {
    let lock = state.lock(id);
    let guard = match lock.lock() {
        Ok(guard) => guard,
        Err(error) => return reply(state, &line_of(&error)),
    };
    state.line.say("ok");
    match serve_frame(state) {
        Flow::Drop => {
            drop(guard);
            reply(state, "ok")
        }
        Flow::Release => match guard.release() {
            Ok(()) => reply(state, "ok"),
            Err(error) => reply(state, &line_of(&error)),
        },
        flow => flow,
    }
}

fn obey(state: &mut State, words: &[&str]) -> Result<Done, Error> {
    match *words {
        ["open", id, name, ref options @ ..] => locks::open(state, id, name, options),
        ["clone", id, from] => locks::clone(state, id, from),
        ["close", id] => Ok(locks::close(state, id)),
        ["leak", id] => Ok(locks::leak(state, id)),
        ["lock", id] => state.lock(id).acquire().map(Done::well),
        ["for", id, millis] => {
            state.lock(id).try_acquire_for(parse::millis(millis)).map(Done::well)
        }
        ["release", id] => state.lock(id).release().map(Done::well),
        ["consistent", id] => state.lock(id).declare_consistent().map(Done::well),
        ["describe", id, text] => state.lock(id).set_description(text).map(Done::well),
        ["try", id] => Ok(Done::said(&state.lock(id).try_acquire()?)),
        ["force", id] => Ok(Done::said(&state.lock(id).force_release()?)),
        ["held", id] => Ok(Done::said(&state.lock(id).is_held())),
        ["locked", id] => Ok(Done::said(&state.lock(id).is_locked()?)),
        ["holder", id] => {
            Ok(Done::said(&locks::holder(state.lock(id).holder()?.as_ref(), "nobody")))
        }
        ["recovered", id] => Ok(Done::said(&locks::recovered(state.lock(id).recovered().as_ref()))),
        ["check", id] => Ok(Done::said(&locks::status(state.lock(id).status()?))),
        ["every", id] => Ok(Done::Answer(locks::every(&state.lock(id)))),
        ["fence", id] => Ok(Done::said(&state.lock(id).fencing_token().unwrap_or(0))),
        ["count", id, account, rounds, actors, ref limit @ ..] => work::count(
            state,
            id,
            account,
            parse::number(rounds),
            parse::number(actors),
            limit.first().copied(),
        ),
        ["pass", id, account, ref consistent @ ..] => {
            work::pass(state, id, account, !consistent.is_empty())
        }
        ["churn", name, account, rounds, actors, ref tide @ ..] => work::churn(
            name,
            account,
            parse::number(rounds),
            parse::number(actors),
            !tide.is_empty(),
        ),
        ["event", id, name] => locks::event(state, id, name),
        ["set", id] => state.event(id).set().map(Done::well),
        ["clear", id] => state.event(id).clear().map(Done::well),
        ["block", id, name, ref options @ ..] => blocks::open(state, id, name, options),
        ["unblock", id] => Ok(blocks::close(state, id)),
        ["read", id] => blocks::read(state, id),
        ["fill", id, value] => blocks::fill(state, id, value),
        ["add", id, rounds] => blocks::add(state, id, parse::number(rounds)),
        ["repair", id, value] => blocks::consistent(state, id, value),
        ["hold", id, value] => blocks::hold(state, id, value),
        ["race", id] => blocks::race(state, id),
        ["handlers", which] => signals::install_exit_handlers(which, None),
        ["handlers", which, grace] => {
            signals::install_exit_handlers(which, grace.strip_prefix("grace="))
        }
        ["note", signal] => Ok(signals::note(parse::number(signal))),
        ["note", signal, "info"] => Ok(signals::note_with_info(parse::number(signal))),
        ["exit-on", signal] => Ok(signals::exit_on(parse::number(signal))),
        ["ignore", signal] => Ok(signals::ignore(parse::number(signal))),
        ["noted", signal] => Ok(Done::said(&signals::noted(parse::number(signal)))),
        ["raise", signal] => Ok(signals::raise(parse::number(signal))),
        ["blocked"] => Ok(Done::said(&signals::blocked())),
        ["reenter", id, signal] => Ok(signals::reenter(state.lock(id), parse::number(signal))),
        ["reentered"] => Ok(Done::said(&signals::reentered())),
        ["sample", id, rounds, signal] => {
            signals::sample(&state.lock(id), parse::number(rounds), parse::number(signal))
        }
        ["fork", socket] => Ok(dying::fork(state, socket)),
        ["thread", socket, ref id @ ..] => {
            Ok(dying::thread(state, socket, id.first().copied(), serve))
        }
        ["reap", pid] => Ok(Done::said(&dying::reap(parse::number(pid)))),
        ["die", how] => Ok(dying::die(how)),
        ref other => panic!("not a command: {other:?}"),
    }
}
/// Formats an error on one line: its variant for tests to compare, then its text for people.
fn line_of(error: &Error) -> String {
    format!("err {} {error}", variant_of(error))
}
