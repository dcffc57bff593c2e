//! Holds what one process or thread of the actor has open, and the outcome of a command.

use std::collections::BTreeMap;
use std::rc::Rc;

use shmlock::{Error, ExitEvent, SharedBlock, ShmLock};

use crate::line::Line;
use crate::numbers::Numbers;

/// The handles of one process or thread, and its connection to the test.
pub(crate) struct State {
    pub(crate) locks: BTreeMap<String, Rc<ShmLock>>,
    pub(crate) events: BTreeMap<String, ExitEvent>,
    pub(crate) blocks: BTreeMap<String, SharedBlock<Numbers>>,
    // Last: the end of the connection tells the test that everything else is closed.
    pub(crate) line: Line,
}

impl State {
    pub(crate) fn new(line: Line) -> Self {
        Self { locks: BTreeMap::new(), events: BTreeMap::new(), blocks: BTreeMap::new(), line }
    }

    pub(crate) fn lock(&self, id: &str) -> Rc<ShmLock> {
        Rc::clone(self.locks.get(id).unwrap_or_else(|| panic!("no lock {id} is open here")))
    }

    pub(crate) fn event(&self, id: &str) -> &ExitEvent {
        self.events.get(id).unwrap_or_else(|| panic!("no event {id} is open here"))
    }
}

/// The outcome of a command.
pub(crate) enum Done {
    Answer(String),
    /// No answer.
    Silent,
    End,
}

impl Done {
    /// Answers `ok` and this value.
    pub(crate) fn said(value: &impl ToString) -> Self {
        Self::Answer(value.to_string())
    }

    /// Answers `ok`.
    pub(crate) fn well((): ()) -> Self {
        Self::Answer(String::new())
    }
}

pub(crate) fn variant_of(error: &Error) -> String {
    format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}
