//! Polls a future by hand, with a waker that tells the test.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// A waker that counts its wakes and unparks the thread that made it.
#[derive(Debug)]
pub struct TestWaker {
    wakes: AtomicU32,
    thread: Thread,
}

impl Wake for TestWaker {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Relaxed); // partner: `wait`, ordered by the unparking
        self.thread.unpark();
    }
}

impl TestWaker {
    /// Creates a waker that has not been woken.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { wakes: AtomicU32::new(0), thread: thread::current() })
    }

    /// Returns `true` if it has been woken.
    #[must_use]
    pub fn was_woken(&self) -> bool {
        self.wakes.load(Relaxed) != 0 // partner: `wake`
    }

    /// Sleeps until it is woken. The watchdog bounds it.
    pub fn wait(&self) {
        while self.wakes.load(Relaxed) == 0 {
            thread::park(); // partner of the load: `wake`
        }
    }
}

/// Polls once, with this waker in the context.
pub fn poll<F: Future + Unpin>(future: &mut F, waker: &Arc<TestWaker>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker))))
}
