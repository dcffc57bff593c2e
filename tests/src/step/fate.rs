//! Defines what happens to the child.

use std::fmt;

use shmlock::ExitHandlers;

use super::reenter;

/// The name of the lock; each test has a directory of its own.
pub(super) const LOCK: &str = "l";

/// The fate of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// SIGKILL.
    Killed,
    /// SIGTERM, with exit handlers installed.
    Ended,
    /// SIGTERM, whose handler calls exit(3), with exit handlers installed.
    Exited,
    /// SIGUSR1, whose handler tries the lock by the same handle. Then the child goes on.
    Interrupted,
    /// SIGSTOP. Later the child goes on.
    Frozen,
}

impl Fate {
    /// Prepares the child: installs the handlers.
    pub(super) fn expect(self) {
        match self {
            Self::Ended => ExitHandlers::all().install().expect("handlers can be installed"),
            Self::Exited => {
                reenter::install_exit();
                ExitHandlers::all().install().expect("handlers can be installed");
            }
            Self::Interrupted => reenter::install(),
            Self::Killed | Self::Frozen => {}
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Ended => "ended by SIGTERM",
            Self::Exited => "made to exit by SIGTERM",
            Self::Interrupted => "interrupted",
            Self::Frozen => "frozen",
        })
    }
}
