//! `clean`: removes the locks and exit events that no living process uses.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use shmlock::{CleanOutcome, DiedFlag, Error};

use crate::args::Place;
use crate::display::escaped;
use crate::events;
use crate::exit::{CONFLICT, Failure, remark};
use crate::hint::explain;
use crate::owner::dead;
use crate::process::{File, Users};
use crate::report::{Report, State};

const AFTER: &str = "\
A process that ends without closing its locks (by `kill -9`, say) leaves their
files, each of 192 bytes and its data. The next process that closes such a lock
removes the file; `clean` is for locks that are no longer used. It never removes
a file that a living process has open: the kernel's byte locks tell, and no
process can open the lock meanwhile. The same holds for the files of named exit
events; a name means both, the lock and the event.

The DIED flag says that an owner died holding the lock, so that the data may be
half-written. It keeps the file, because the next owner is told. With --crashed
the file is removed, and the next owner is not told.

Exit status:
  0   done
  1   a named lock or event stays or is absent, or one could not be inspected
  64, 66, 71, 74  as in `shmlock --help`";

/// Remove the locks and exit events that no living process uses
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The names of the locks and exit events [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Report what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Also remove locks with the DIED flag: the next owner is then not told of the death
    #[arg(long)]
    crashed: bool,

    /// Also report files that are in use
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    place: Place,
}

/// The kinds of files that `clean` removes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lock,
    ExitEvent,
}

/// The outcome for a lock or an event, with the reason.
enum Outcome {
    Removed(String),
    /// Kept although no process uses it.
    Kept(String),
    InUse(String),
    Absent,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        self.check_names()?;
        let users = Users::scan();
        let mut code = 0;
        for (name, kinds) in self.candidates()? {
            let mut outcomes: Vec<_> =
                kinds.iter().map(|kind| (*kind, self.outcome(*kind, &name, &users))).collect();
            let is_absent =
                |outcome: &shmlock::Result<Outcome>| matches!(outcome, Ok(Outcome::Absent));
            if outcomes.iter().all(|(_, outcome)| is_absent(outcome)) {
                outcomes.truncate(1);
            } else {
                outcomes.retain(|(_, outcome)| !is_absent(outcome));
            }
            for (kind, outcome) in outcomes {
                let is_done = match outcome {
                    Ok(outcome) => self.report(kind, &name, &outcome)?,
                    Err(error) => {
                        remark(&explain(&error));
                        false
                    }
                };
                code = if is_done { code } else { CONFLICT };
            }
        }
        Ok(code)
    }

    /// Returns the names to clean, each with the kinds that it may be: the given ones, or all.
    fn candidates(&self) -> Result<Vec<(String, Vec<Kind>)>, Failure> {
        let meaning = |names: Vec<String>, kinds: &[Kind]| {
            let kinds = kinds.to_vec();
            names.into_iter().map(move |name| (name, kinds.clone()))
        };
        if !self.names.is_empty() {
            return Ok(meaning(self.names.clone(), &[Kind::Lock, Kind::ExitEvent]).collect());
        }
        let events = shmlock::exit_events_in(&self.place.directory)?;
        Ok(meaning(self.place.names()?, &[Kind::Lock])
            .chain(meaning(events, &[Kind::ExitEvent]))
            .collect())
    }

    fn outcome(&self, kind: Kind, name: &str, users: &Users) -> shmlock::Result<Outcome> {
        match kind {
            Kind::Lock if self.dry_run => self.predict(name, users),
            Kind::Lock => self.clean(name, users),
            Kind::ExitEvent => self.clean_event(name, users),
        }
    }

    /// Writes the outcome if it was named or changes a file; `false` if it was named and stays.
    fn report(&self, kind: Kind, name: &str, outcome: &Outcome) -> Result<bool, Failure> {
        let (verb, style, why) = match outcome {
            Outcome::Removed(why) if self.dry_run => {
                ("would remove", AnsiColor::Green.on_default(), why.as_str())
            }
            Outcome::Removed(why) => ("removed", AnsiColor::Green.on_default(), why.as_str()),
            Outcome::Kept(why) => ("kept", AnsiColor::Yellow.on_default(), why.as_str()),
            Outcome::InUse(why) => ("kept", Style::new(), why.as_str()),
            Outcome::Absent => {
                ("absent", Style::new(), "there is no lock or exit event of this name")
            }
        };
        let was_named = !self.names.is_empty();
        if self.verbose || was_named || matches!(outcome, Outcome::Removed(_) | Outcome::Kept(_)) {
            let what = if kind == Kind::ExitEvent { "exit event " } else { "" };
            writeln!(anstream::stdout(), "{style}{verb}{style:#} {what}{}: {why}", escaped(name))?;
        }
        Ok(!was_named || matches!(outcome, Outcome::Removed(_)))
    }

    /// Refuses a name that no lock can have, as the other verbs do, before anything is removed.
    fn check_names(&self) -> Result<(), Failure> {
        for name in &self.names {
            if let Err(error @ Error::InvalidName { .. }) = self.place.builder(name).inspect() {
                return Err(error.into()); // other errors are reported in their turn
            }
        }
        Ok(())
    }

    fn clean(&self, name: &str, users: &Users) -> shmlock::Result<Outcome> {
        let file = File::at(&self.place.path(name)); // before its removal
        let flag = if self.crashed { DiedFlag::Remove } else { DiedFlag::Keep };
        Ok(match self.place.builder(name).clean(flag)? {
            CleanOutcome::Absent => Outcome::Absent,
            CleanOutcome::InUse => in_use(&Report::of(name, &self.place, users)),
            CleanOutcome::OwnerDied(owner) => {
                kept_for_the_next_owner(&dead(owner.dead.as_ref(), file))
            }
            CleanOutcome::Removed => removed_free(),
            CleanOutcome::RemovedAfterCrash(owner) => {
                removed_with_the_flag(&dead(owner.dead.as_ref(), file))
            }
            CleanOutcome::HeldByStaticToken => held_by_static_token(),
            _ => Outcome::Kept(NAMED_ELSEWHERE.to_owned()),
        })
    }

    fn clean_event(&self, name: &str, users: &Users) -> shmlock::Result<Outcome> {
        Ok(match events::clean(name, &self.place, self.dry_run)? {
            CleanOutcome::Absent => Outcome::Absent,
            CleanOutcome::InUse => {
                Outcome::InUse(format!("in use by {}", events::users_of(name, &self.place, users)))
            }
            CleanOutcome::Removed => Outcome::Removed("no process has it open".to_owned()),
            _ => Outcome::Kept(NAMED_ELSEWHERE.to_owned()),
        })
    }

    /// Returns what [`clean`](Self::clean) would do; inspects the lock only.
    fn predict(&self, name: &str, users: &Users) -> shmlock::Result<Outcome> {
        let Some(seen) = self.place.builder(name).inspect()? else {
            return Ok(Outcome::Absent);
        };
        let report = Report::of(name, &self.place, users);
        let dead = dead(seen.holder.as_ref(), File::at(&report.path));
        Ok(match report.state {
            _ if seen.in_use => in_use(&report),
            State::Held => held_by_static_token(),
            State::Free if !seen.status.owner_died => removed_free(),
            _ if self.crashed => removed_with_the_flag(&dead),
            _ => kept_for_the_next_owner(&dead),
        })
    }
}

const NAMED_ELSEWHERE: &str = "its file has a second name, or was replaced just now";

fn in_use(report: &Report) -> Outcome {
    Outcome::InUse(format!("in use by {}", report.users()))
}

fn removed_free() -> Outcome {
    Outcome::Removed("free, and no process has it open".to_owned())
}

fn removed_with_the_flag(dead: &str) -> Outcome {
    Outcome::Removed(format!("its owner died holding it ({dead}); the next owner is not told"))
}

fn kept_for_the_next_owner(dead: &str) -> Outcome {
    Outcome::Kept(format!(
        "its owner died holding it ({dead}), and the next owner is told; --crashed removes it"
    ))
}

fn held_by_static_token() -> Outcome {
    Outcome::Kept("held by a static token, whose liveness no process can prove".to_owned())
}
