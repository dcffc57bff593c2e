//! Shows the fleet's locks: `status` and `list` with `--fleet`.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shmlock_fleet::FleetHolder;

use super::failure::view_failure;
use super::options::Cluster;
use crate::display::{escaped, escaped_json, span};
use crate::exit::Failure;
use crate::table::{Table, left, right};

/// A lock as `status` shows it.
#[derive(Serialize)]
struct Lock<'a> {
    name: &'a str,
    state: &'static str,
    holder: Option<Contender>,
    /// In the order in which their turns come.
    waiters: Vec<Contender>,
}

/// A lock as `list` shows it.
#[derive(Serialize)]
struct Line {
    name: String,
    state: &'static str,
    holder: Contender,
    /// The number of machines that wait.
    waiters: usize,
}

/// A holder or a waiter. A part that is not known is `None`.
#[derive(Serialize)]
struct Contender {
    host: Option<String>,
    pid: Option<u32>,
    description: String,
    fencing_token: u64,
    /// Its arrival in the queue, in seconds since 1970, by the clock of its machine.
    since: Option<u64>,
}

impl From<FleetHolder> for Contender {
    fn from(holder: FleetHolder) -> Self {
        let since = holder.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        Self {
            host: Some(holder.host).filter(|host| !host.is_empty()),
            pid: Some(holder.pid).filter(|pid| *pid != 0),
            description: holder.description,
            fencing_token: holder.fencing_token,
            since: since.as_ref().map(Duration::as_secs),
        }
    }
}

impl Contender {
    fn host(&self) -> String {
        self.host.as_deref().map_or("-".to_owned(), escaped)
    }

    fn pid(&self) -> String {
        self.pid.map_or("-".to_owned(), |pid| pid.to_string())
    }

    /// Returns the time since its arrival, as far as two clocks agree.
    #[expect(clippy::disallowed_methods, reason = "the other machine has no clock in common")]
    fn age(&self) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(span(now.saturating_sub(Duration::from_secs(self.since?))))
    }

    fn process(&self) -> String {
        match (&self.host, self.pid) {
            (Some(host), Some(pid)) => format!("pid {pid} on {}", escaped(host)),
            _ => "a process without an owner record".to_owned(),
        }
    }
}

/// Shows one lock.
pub(crate) fn status(cluster: &Cluster, name: &str, json: bool) -> Result<u8, Failure> {
    let queue = cluster.view()?.queue(name).map_err(view_failure)?;
    let mut queue = queue.into_iter().map(Contender::from);
    let holder = queue.next();
    let state = if holder.is_some() { "held" } else { "free" };
    let lock = Lock { name, state, holder, waiters: queue.collect() };
    if json {
        return write_json(&lock);
    }
    let color = if lock.holder.is_some() { AnsiColor::Yellow } else { AnsiColor::Green };
    let (style, bold) = (color.on_default(), Style::new().bold());
    let mut out = anstream::stdout();
    writeln!(out, "{bold}{}{bold:#}: {style}{state}{style:#}", escaped(name))?;
    for (label, text) in lines(&lock) {
        writeln!(out, "  {label:<13} {text}")?;
    }
    out.flush()?;
    Ok(0)
}

fn lines(lock: &Lock<'_>) -> Vec<(&'static str, String)> {
    let Some(holder) = &lock.holder else { return Vec::new() };
    let mut lines = vec![("holder", holder.process())];
    lines.extend(holder.age().map(|age| ("arrived", format!("{age} ago, by its clock"))));
    if !holder.description.is_empty() {
        lines.push(("description", escaped(&holder.description)));
    }
    lines.push(("fencing token", holder.fencing_token.to_string()));
    lines.push(("waiters", lock.waiters.len().to_string()));
    for waiter in &lock.waiters {
        let mut words = vec![waiter.process()];
        if !waiter.description.is_empty() {
            words.push(format!("\"{}\"", waiter.description.escape_debug()));
        }
        words.extend(waiter.age().map(|age| format!("arrived {age} ago")));
        lines.push(("", words.join(", ")));
    }
    lines
}

/// Shows all locks that are held.
pub(crate) fn list(cluster: &Cluster, json: bool, titles: bool) -> Result<u8, Failure> {
    let locks: Vec<_> = cluster
        .view()?
        .list()
        .map_err(view_failure)?
        .into_iter()
        .map(|lock| Line {
            name: lock.name,
            state: "held",
            holder: lock.holder.into(),
            waiters: lock.waiters,
        })
        .collect();
    if json {
        #[derive(Serialize)]
        struct All {
            locks: Vec<Line>,
        }
        return write_json(&All { locks });
    }
    let mut table = Table::new([
        left("HOST"),
        right("PID"),
        right("ARRIVED"),
        right("WAITERS"),
        right("TOKEN"),
        left("NAME"),
        left("DESCRIPTION"),
    ]);
    for lock in &locks {
        let holder = &lock.holder;
        table.row([
            holder.host().into(),
            holder.pid().into(),
            holder.age().unwrap_or("-".to_owned()).into(),
            lock.waiters.into(),
            holder.fencing_token.into(),
            escaped(&lock.name).into(),
            escaped(&holder.description).into(),
        ]);
    }
    table.write(&mut anstream::stdout(), titles, usize::MAX)?;
    Ok(0)
}

fn write_json(value: &impl Serialize) -> Result<u8, Failure> {
    let json = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    let mut out = anstream::stdout();
    writeln!(out, "{}", escaped_json(&json))?;
    out.flush()?;
    Ok(0)
}
