//! A logger that acts at chosen events.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use log::{LevelFilter, Log, Metadata, Record};

pub(crate) type Act = Rc<dyn Fn()>;

thread_local! {
    /// The event at which this thread's logger acts, and its act.
    static ACT: RefCell<Option<(&'static str, Act)>> = const { RefCell::new(None) };
}

/// The number of acts begun.
pub(crate) static ACTS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct ActingLogger;

impl Log for ActingLogger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        let act = ACT.with_borrow(Clone::clone);
        if let Some((_, act)) = act.filter(|(event, _)| line.contains(event)) {
            ACTS.fetch_add(1, Relaxed);
            act();
        }
    }

    fn flush(&self) {}
}

pub(crate) fn begin() {
    log::set_logger(&ActingLogger).expect("the only logger");
    log::set_max_level(LevelFilter::Debug);
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"the logger") {
            eprintln!("{panic}");
        }
    }));
}

/// Makes the logger do `act` at each such event from now on.
pub(crate) fn at(event: &'static str, act: impl Fn() + 'static) {
    ACTS.store(0, Relaxed);
    ACT.set(Some((event, Rc::new(act))));
}

pub(crate) fn stop_acting() -> u32 {
    ACT.set(None);
    ACTS.load(Relaxed)
}
