//! `list`: all locks and named exit events of this machine.

use std::io::Write;

use serde::Serialize;

use crate::args::Where;
use crate::display::{known, quiet_json, shown, yes};
use crate::events;
use crate::exit::Failure;
use crate::process::Users;
use crate::report::Report;
use crate::table::{Cell, Table, left, right};

const AFTER: &str = "\
Columns:
  COMMAND       the owner's, if it can be seen
  PID           the owner's; (7) has ended, 7? cannot be seen, 7@NS is of another
                pid namespace, see lsns(8): a plain number is that of the owner
  STATE         held, free, dead (the next owner recovers it), unreadable;
                of an exit event set, clear, or unused (no process has it open)
  HELD          for how long
  WAIT          whether somebody waits, or has waited and gave up since it was taken
  DIED          whether an owner died, and nobody has declared the data consistent since
  DEATHS        dead owners replaced so far
  TAKEN         acquisitions so far
  USERS         processes that have it open, as far as they can be seen; ? if none can
  NAME          of the lock or the exit event
  DESCRIPTION   why it is held, in the owner's words; or why it cannot be read;
                of an exit event that it is one

Exit status:
  0   done
  66, 71, 74  as in `shmlock --help`";

/// List all locks and named exit events of this machine
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// As one JSON object with an array of the locks and one of the exit events
    #[arg(short = 'J', long)]
    json: bool,

    /// Without the line of titles
    #[arg(short, long)]
    noheadings: bool,

    #[command(flatten)]
    place: Where,
}

#[derive(Serialize)]
struct All {
    locks: Vec<Report>,
    exit_events: Vec<events::Report>,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        let users = Users::look();
        let locks =
            self.place.names()?.iter().map(|name| Report::of(name, &self.place, &users)).collect();
        let all = All { locks, exit_events: events::Report::of_all(&self.place, &users)? };
        let mut out = anstream::stdout();
        if self.json {
            let json = serde_json::to_string_pretty(&all).map_err(std::io::Error::from)?;
            writeln!(out, "{}", quiet_json(&json))?;
        } else {
            table(&all).write(&mut out, !self.noheadings, usize::MAX)?;
        }
        Ok(0)
    }
}

fn table(all: &All) -> Table<11> {
    let mut table = Table::new([
        left("COMMAND"),
        right("PID"),
        left("STATE"),
        right("HELD"),
        left("WAIT"),
        left("DIED"),
        right("DEATHS"),
        right("TAKEN"),
        right("USERS"),
        left("NAME"),
        left("DESCRIPTION"),
    ]);
    for lock in &all.locks {
        table.row([
            lock.command().into(),
            lock.pid().into(),
            Cell::styled(lock.state.name(), lock.state.style()),
            lock.held_for().into(),
            lock.waiters.map_or("-", yes).into(),
            lock.owner_died.map_or("-", yes).into(),
            known(lock.deaths).into(),
            known(lock.acquisitions).into(),
            lock.number_of_users().into(),
            shown(&lock.name).into(),
            lock.why().into(),
        ]);
    }
    let none = || Cell::from("-");
    for event in &all.exit_events {
        table.row([
            none(),
            none(),
            Cell::styled(event.state.name(), event.state.style()),
            none(),
            none(),
            none(),
            none(),
            none(),
            event.number_of_users().into(),
            shown(&event.name).into(),
            event.why().into(),
        ]);
    }
    table
}
