//! Polling a future by hand: one poll at a time, and a waker that tells the test.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// A waker that notes that it was woken, and unparks the thread that made it.
#[derive(Debug)]
pub struct TestWaker {
    rung: AtomicU32,
    thread: Thread,
}

impl Wake for TestWaker {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Relaxed); // partner: `wait`, ordered by the unparking
        self.thread.unpark();
    }
}

impl TestWaker {
    /// One that has not been rung.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { rung: AtomicU32::new(0), thread: thread::current() })
    }

    /// Whether it has been rung.
    #[must_use]
    pub fn was_woken(&self) -> bool {
        self.rung.load(Relaxed) != 0 // partner: `wake`
    }

    /// Sleeps until it is rung. The watchdog bounds it.
    pub fn wait(&self) {
        while self.rung.load(Relaxed) == 0 {
            thread::park(); // partner of the load: `wake`
        }
    }
}

/// Polls once, with this waker to be rung if it is pending.
pub fn poll<F: Future + Unpin>(future: &mut F, waker: &Arc<TestWaker>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker))))
}
