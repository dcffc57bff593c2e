//! `clean`: what no living process uses goes.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use shmlock::{CleanOutcome, DiedFlag, Error};

use crate::args::Where;
use crate::display::shown;
use crate::events;
use crate::exit::{CONFLICT, Failure, remark};
use crate::hint::explain;
use crate::owner::dead;
use crate::process::{File, Users};
use crate::report::{Report, State};

const AFTER: &str = "\
A process that ends without closing its locks (by `kill -9`, say) leaves their
files, each of 192 bytes and its data. The next who closes such a lock removes
it; `clean` is for those that nobody uses any more. What a living process has
open is never touched: the kernel's byte locks tell, and while `clean` looks
nobody can open the lock. The same holds for the files of named exit events;
a name means both, the lock and the event.

A crash mark says that an owner died holding the lock, so that what it protects
may be half-written. The next owner is told. With --crashed the mark goes, and
nobody will be told.

Exit status:
  0   done
  1   what was named stays or is absent, or something could not be looked at
  64, 66, 71, 74  as in `shmlock --help`";

/// Remove what no living process uses
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The names of the locks and exit events [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Remove crash marks, too: the next owner is then not told that an owner died
    #[arg(long)]
    crashed: bool,

    /// Say also what is in use
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    place: Where,
}

/// What may go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lock,
    ExitEvent,
}

/// What becomes of a lock or an event, and why.
enum Fate {
    Goes(String),
    Stays(String),
    /// It is simply in use.
    InUse(String),
    Absent,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        self.check_names()?;
        let users = Users::look();
        let mut code = 0;
        for (name, kinds) in self.candidates()? {
            let mut fates: Vec<_> =
                kinds.iter().map(|kind| (*kind, self.fate(*kind, &name, &users))).collect();
            let is_absent = |fate: &shmlock::Result<Fate>| matches!(fate, Ok(Fate::Absent));
            if fates.iter().all(|(_, fate)| is_absent(fate)) {
                fates.truncate(1);
            } else {
                fates.retain(|(_, fate)| !is_absent(fate));
            }
            for (kind, fate) in fates {
                let is_done = match fate {
                    Ok(fate) => self.tell(kind, &name, &fate)?,
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

    /// What was named, or all there is; and what each name may mean.
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

    fn fate(&self, kind: Kind, name: &str, users: &Users) -> shmlock::Result<Fate> {
        match kind {
            Kind::Lock if self.dry_run => self.foretell(name, users),
            Kind::Lock => self.clean(name, users),
            Kind::ExitEvent => self.clean_event(name, users),
        }
    }

    /// Says what became of it, if that is news. Returns `false` if it was named and stays.
    fn tell(&self, kind: Kind, name: &str, fate: &Fate) -> Result<bool, Failure> {
        let (verb, style, why) = match fate {
            Fate::Goes(why) if self.dry_run => {
                ("would remove", AnsiColor::Green.on_default(), why.as_str())
            }
            Fate::Goes(why) => ("removed", AnsiColor::Green.on_default(), why.as_str()),
            Fate::Stays(why) => ("kept", AnsiColor::Yellow.on_default(), why.as_str()),
            Fate::InUse(why) => ("kept", Style::new(), why.as_str()),
            Fate::Absent => ("absent", Style::new(), "there is no such lock or exit event"),
        };
        let was_named = !self.names.is_empty();
        if self.verbose || was_named || matches!(fate, Fate::Goes(_) | Fate::Stays(_)) {
            let what = if kind == Kind::ExitEvent { "exit event " } else { "" };
            writeln!(anstream::stdout(), "{style}{verb}{style:#} {what}{}: {why}", shown(name))?;
        }
        Ok(!was_named || matches!(fate, Fate::Goes(_)))
    }

    /// A name that no lock can have is a mistake in the arguments, as with the other verbs; it is
    /// told before anything goes.
    fn check_names(&self) -> Result<(), Failure> {
        for name in &self.names {
            if let Err(error @ Error::InvalidName { .. }) = self.place.builder(name).inspect() {
                return Err(error.into()); // what else is wrong is told in its turn
            }
        }
        Ok(())
    }

    fn clean(&self, name: &str, users: &Users) -> shmlock::Result<Fate> {
        let file = File::at(&self.place.path(name)); // before it goes
        let mark = if self.crashed { DiedFlag::Remove } else { DiedFlag::Keep };
        Ok(match self.place.builder(name).clean(mark)? {
            CleanOutcome::Absent => Fate::Absent,
            CleanOutcome::InUse => in_use(&Report::of(name, &self.place, users)),
            CleanOutcome::OwnerDied(marked) => stays_marked(&dead(marked.dead.as_ref(), file)),
            CleanOutcome::Removed => goes_free(),
            CleanOutcome::RemovedAfterCrash(marked) => {
                goes_marked(&dead(marked.dead.as_ref(), file))
            }
            CleanOutcome::HeldByStaticToken => held_from_outside(),
            _ => Fate::Stays(NAMED_ELSEWHERE.to_owned()),
        })
    }

    fn clean_event(&self, name: &str, users: &Users) -> shmlock::Result<Fate> {
        Ok(match events::clean(name, &self.place, self.dry_run)? {
            CleanOutcome::Absent => Fate::Absent,
            CleanOutcome::InUse => {
                Fate::InUse(format!("in use by {}", events::users_of(name, &self.place, users)))
            }
            CleanOutcome::Removed => Fate::Goes("nobody has it open".to_owned()),
            _ => Fate::Stays(NAMED_ELSEWHERE.to_owned()),
        })
    }

    /// As [`clean`](Self::clean), by a look only.
    fn foretell(&self, name: &str, users: &Users) -> shmlock::Result<Fate> {
        let Some(seen) = self.place.builder(name).inspect()? else {
            return Ok(Fate::Absent);
        };
        let report = Report::of(name, &self.place, users);
        let dead = dead(seen.holder.as_ref(), File::at(&report.path));
        Ok(match report.state {
            _ if seen.in_use => in_use(&report),
            State::Held => held_from_outside(),
            State::Free if !seen.health.owner_died => goes_free(),
            _ if self.crashed => goes_marked(&dead),
            _ => stays_marked(&dead),
        })
    }
}

const NAMED_ELSEWHERE: &str = "its file has a second name, or was replaced just now";

fn in_use(report: &Report) -> Fate {
    Fate::InUse(format!("in use by {}", report.users()))
}

fn goes_free() -> Fate {
    Fate::Goes("free, and nobody has it open".to_owned())
}

fn goes_marked(dead: &str) -> Fate {
    Fate::Goes(format!("an owner died holding it ({dead}); the next owner is not told"))
}

fn stays_marked(dead: &str) -> Fate {
    Fate::Stays(format!(
        "an owner died holding it ({dead}), and the next is to be told; --crashed removes the mark"
    ))
}

fn held_from_outside() -> Fate {
    Fate::Stays("held from outside of Linux, where we cannot tell who lives".to_owned())
}
