//! `list`: shows all locks and named exit events of this machine.

use std::io::Write;

use serde::Serialize;

use crate::args::Place;
use crate::display::{escaped, escaped_json, or_dash, yes_or_no};
use crate::events;
use crate::exit::{Failure, fleet_columns, fleet_view_statuses};
use crate::fleet;
use crate::process::Users;
use crate::report::Report;
use crate::table::{Cell, Table, left, right};

const AFTER: &str = concat!(
    "\
Columns:
  COMMAND       the owner's command, if it can be seen
  PID           the owner's process id; (7) has ended, 7? cannot be seen, 7@NS is of
                another pid namespace, see lsns(8)
  STATE         held, free, dead (the next owner recovers it), unreadable;
                of an exit event set, clear, or unused (no process has it open)
  HELD          the time since the acquisition
  WAIT          yes if a process waits, or gave up waiting since the acquisition
  DIED          yes if an owner died and the data was not declared consistent since
  DEATHS        the number of recoveries from dead owners
  ACQUIRED      the number of acquisitions
  USERS         the number of processes that have it open; ? if they cannot be seen
  NAME          the name of the lock or the exit event
  DESCRIPTION   the owner's reason, or why the lock cannot be read; for an exit
                event the words \"exit event\"
",
    fleet_columns!(),
    "
Exit status:
  0   done
  66, 71, 74  as in `shmlock --help`",
    fleet_view_statuses!()
);

/// List all locks and named exit events of this machine
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// Write one JSON object with an array of locks and an array of exit events
    #[arg(short = 'J', long)]
    json: bool,

    /// Omit the line of titles
    #[arg(short, long)]
    noheadings: bool,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    fleet: fleet::Access,
}

#[derive(Serialize)]
struct All {
    locks: Vec<Report>,
    exit_events: Vec<events::Report>,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        #[cfg(not(feature = "fleet"))]
        self.fleet.refuse()?;
        #[cfg(feature = "fleet")]
        if let Some(cluster) = self.fleet.cluster()? {
            self.place.refuse_with_fleet()?;
            return fleet::list(&cluster, self.json, !self.noheadings);
        }
        let users = Users::scan();
        let locks =
            self.place.names()?.iter().map(|name| Report::of(name, &self.place, &users)).collect();
        let all = All { locks, exit_events: events::Report::of_all(&self.place, &users)? };
        let mut out = anstream::stdout();
        if self.json {
            let json = serde_json::to_string_pretty(&all).map_err(std::io::Error::from)?;
            writeln!(out, "{}", escaped_json(&json))?;
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
        right("ACQUIRED"),
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
            lock.waiters.map_or("-", yes_or_no).into(),
            lock.owner_died.map_or("-", yes_or_no).into(),
            or_dash(lock.deaths).into(),
            or_dash(lock.acquisitions).into(),
            lock.number_of_users().into(),
            escaped(&lock.name).into(),
            lock.reason().into(),
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
            escaped(&event.name).into(),
            event.reason().into(),
        ]);
    }
    table
}
