//! The settings of a handle, as its builder left them.

use std::time::Duration;

use shmlock_core::FenceScope;
use uuid::Uuid;

use crate::sys::signal_mask::BlockSignals;
use crate::wait::WaitStrategy;
use crate::wait::exit_event::ExitEvent;
use crate::wait::interrupt::Interrupt;
use crate::wait::tuning::DEFAULT_FAIRNESS_INTERVAL;

/// The default of [`Builder::poll_interval`](crate::Builder::poll_interval), the Python package's.
/// It bounds how long a release and a death stay unnoticed where nothing wakes the waiter. Each
/// interval costs such a waiter about four system calls.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The default of [`Builder::open_timeout`](crate::Builder::open_timeout). Closing takes
/// microseconds; only a process that is stopped while it closes takes longer.
pub const DEFAULT_OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of one handle.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) poll_interval: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) fairness_interval: Duration,
    pub(crate) strategy: WaitStrategy,
    pub(crate) fence: FenceScope,
    pub(crate) block_signals: BlockSignals,
    pub(crate) exit_event: Option<ExitEvent>,
    pub(crate) interrupt: Option<Interrupt>,
    pub(crate) measure_holds: bool,
    pub(crate) poisoning: bool,
    pub(crate) lifeline: bool,
    /// The uuid that the handle is to have; a random one if none is given. Boxed, because few have
    /// one and each handle has settings.
    pub(crate) uuid: Option<Box<Uuid>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_interval: DEFAULT_POLL_INTERVAL,
            open_timeout: DEFAULT_OPEN_TIMEOUT,
            fairness_interval: DEFAULT_FAIRNESS_INTERVAL,
            strategy: WaitStrategy::default(),
            fence: FenceScope::default(),
            block_signals: BlockSignals::default(),
            exit_event: None,
            interrupt: None,
            measure_holds: false,
            poisoning: false,
            lifeline: false,
            uuid: None,
        }
    }
}
