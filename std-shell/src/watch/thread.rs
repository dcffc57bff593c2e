//! Runs the watch thread: takes new files, looks at locks, and sleeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sys::inotify::Event;
use crate::sys::private_files::PrivateFiles;
use crate::sys::sleep;
use crate::watch::budget::Budget;
use crate::watch::events::Events;
use crate::watch::file::WatchedFile;
use crate::watch::hub::Hub;
use crate::watch::watched::{Cover, Watched};

/// How often the thread takes a look at everything, and removes idle files. It bounds the time for
/// which a death stays unnoticed if no process watches; so does the poll interval, if that is
/// longer.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Runs until no file is registered.
pub(super) fn watch(hub: &'static Hub) {
    match PrivateFiles::begin() {
        Ok(files) => Watcher::new(hub, files).run(),
        Err(_) => hub.refuse_all(),
    }
}

struct Watcher {
    hub: &'static Hub,
    files: Vec<WatchedFile>,
    /// Files that could not be opened. They are tried again.
    unopened: Vec<Arc<Watched>>,
    senses: Senses,
    budget: Budget,
    /// There was no file at the last tick, nor at the one before.
    wants_end: bool,
    had_files: bool,
    /// When the thread looks at everything that it was not told of.
    next_tick: Instant,
    /// When all files are looked at next; later than the tick if all poll intervals are longer.
    next_round: Instant,
}

impl Watcher {
    fn new(hub: &'static Hub, private: PrivateFiles) -> Self {
        let now = Instant::now();
        Self {
            hub,
            files: Vec::new(),
            unopened: Vec::new(),
            senses: Senses { hub, private, events: None },
            budget: Budget::new(now),
            wants_end: false,
            had_files: true,
            next_tick: now + TICK,
            next_round: now + sleep::LONGEST, // until there is a file
        }
    }

    fn run(mut self) {
        let mut was_event = false;
        while let Some((new, bell)) = self.hub.take_new(self.wants_end) {
            self.wants_end = false;
            for watched in new {
                self.begin(watched);
            }
            self.serve_requests();
            self.leave_unused();
            self.tick();
            let now = Instant::now();
            for file in &mut self.files {
                was_event |= file.look_if_due(now);
            }
            if was_event {
                self.budget.spend(now);
            }
            was_event = self.sleep(bell);
        }
    }

    /// Begins to watch a file.
    fn begin(&mut self, watched: Arc<Watched>) {
        let now = Instant::now();
        let opened = WatchedFile::open(Arc::clone(&watched), &self.senses.private, now);
        let Some(mut file) = opened else {
            watched.set_cover(Cover::Refused);
            self.unopened.push(watched);
            return;
        };
        let mut seen = self.senses.take_slot(&mut file);
        if !file.decide_cover() {
            // A slot has become free between the two looks.
            seen.extend(self.senses.take_slot(&mut file));
            file.decide_cover();
        }
        self.next_round = self.next_round.min(round_after(now, &file));
        self.files.push(file);
        self.note(&seen);
    }

    /// Takes slots for the files whose waiters were woken for nothing.
    fn serve_requests(&mut self) {
        let mut seen = Vec::new();
        for file in &mut self.files {
            if file.watched.wants_slot() {
                seen.extend(self.senses.take_slot(file));
            }
        }
        self.note(&seen);
    }

    /// Leaves the files whose last wait has ended a moment ago; then closes what no file needs.
    fn leave_unused(&mut self) {
        let now = Instant::now();
        let (before, mut index) = (self.files.len(), 0);
        while let Some(file) = self.files.get_mut(index) {
            file.note_waits(now);
            let wants_to_leave = file.wants_to_leave(now);
            if wants_to_leave && self.hub.remove_if_idle(&file.watched) {
                self.files.swap_remove(index).leave(self.senses.events.as_ref());
            } else {
                file.note_waits(now); // a wait may have come and gone
                index += 1;
            }
        }
        if self.files.len() < before {
            self.senses.close_if_useless(&self.files);
        }
    }

    /// Once a second: looks at everything, and wants to end if there was no file for a second.
    fn tick(&mut self) {
        let now = Instant::now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        let has_files = !self.files.is_empty() || !self.unopened.is_empty();
        self.wants_end = !std::mem::replace(&mut self.had_files, has_files) && !has_files;
        for watched in std::mem::take(&mut self.unopened) {
            if !self.hub.remove_if_idle(&watched) {
                self.begin(watched);
            }
        }
        // A wait with a shorter interval may have joined since.
        let rounds = self.files.iter().map(|file| round_after(now, file));
        self.next_round = rounds.fold(self.next_round, Instant::min);
        for file in &mut self.files {
            file.note_tick(now);
        }
        if now >= self.next_round {
            self.round(now);
        }
    }

    /// Looks at every file, and takes the slots that are free.
    fn round(&mut self, now: Instant) {
        let mut seen = Vec::new();
        for file in &mut self.files {
            seen.extend(self.senses.take_slot(file));
            file.decide_cover();
            file.tick(now);
        }
        self.note(&seen);
        let rounds = self.files.iter().map(|file| round_after(now, file));
        self.next_round = rounds.min().unwrap_or(now + sleep::LONGEST);
    }

    /// Sleeps until something happens, or something is due. Returns `true` if events caused the
    /// wake-up: there are some, or there were so many that the thread had to rest.
    fn sleep(&mut self, bell: u32) -> bool {
        if self.hub.has_rung_since(bell) {
            return false; // its event may have been taken with others
        }
        let now = Instant::now();
        let rest = self.budget.rest_until(now);
        let due = self.files.iter().filter_map(|file| file.due(rest)).min();
        let until = due.map_or(self.next_tick, |due| due.min(self.next_tick));
        let Some(events) = &self.senses.events else {
            self.hub.sleep(bell, until);
            return false;
        };
        let has_events = match rest {
            Some(rest) => {
                self.hub.sleep(bell, until.min(rest)); // the events keep
                rest <= Instant::now()
            }
            None => events.sleep(until),
        };
        if !has_events {
            return false;
        }
        // First: to read whose event it is takes time, in code that is in no cache.
        if let [file] = &mut self.files[..] {
            file.look_ahead();
        }
        let mut seen = Vec::new();
        events.take(|event| seen.push(event));
        self.note(&seen);
        rest.is_some() || !seen.is_empty()
    }

    fn note(&mut self, events: &[Event]) {
        if events.is_empty() {
            return; // the bell alone
        }
        let now = Instant::now();
        for event in events {
            for file in &mut self.files {
                file.note(*event, now);
            }
        }
    }
}

/// What the thread senses by: events, while a file has a slot and the kernel has an instance.
struct Senses {
    hub: &'static Hub,
    private: PrivateFiles,
    events: Option<Events>,
}

impl Senses {
    /// Takes a slot for the file if one is free, and gives it its events. Returns the events of
    /// other files that came meanwhile.
    fn take_slot(&mut self, file: &mut WatchedFile) -> Vec<Event> {
        let mut seen = Vec::new();
        file.take_slot(Instant::now());
        if file.lacks_events() {
            if self.events.is_none() {
                self.events = Events::new(&self.private).ok();
                self.hub.set_bell_file(self.events.as_ref().and_then(Events::bell_file));
            }
            if let Some(events) = &self.events {
                file.watch(events, &self.private, |event| seen.push(event));
            }
        }
        seen
    }

    /// Closes the instance if no file has a slot. The kernel takes milliseconds for that.
    fn close_if_useless(&mut self, files: &[WatchedFile]) {
        if self.events.is_some() && !files.iter().any(WatchedFile::has_slot) {
            self.hub.set_bell_file(None); // before: a ring must not be lost
            self.events = None;
        }
    }
}

/// Returns when the round is due that a file needs: after a tick, or after its interval if that is
/// longer.
fn round_after(now: Instant, file: &WatchedFile) -> Instant {
    let length = file.tick_length().max(TICK);
    now.checked_add(length).unwrap_or(now + sleep::LONGEST)
}
