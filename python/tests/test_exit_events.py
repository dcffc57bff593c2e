"""Exit events: what ends a wait, and when."""

import multiprocessing
import pathlib
import threading
import time
from functools import partial

import pytest

import shmlock
from conftest import HOLDER, in_a_thread, kept_waiting, needs_futex_waitv, until


@pytest.mark.parametrize("make", [threading.Event, multiprocessing.Event, None])
def test_a_set_exit_event_keeps_a_free_lock_away(name, make):
    lock = shmlock.ShmLock(name, exit_event=make and make())
    event = lock.get_exit_event()
    assert lock.acquire()
    assert lock.release()
    event.set()
    assert not lock.acquire()
    with lock as acquired:
        assert not acquired
    with lock.lock() as acquired:
        assert not acquired
    event.clear()
    assert lock.acquire()
    assert lock.release()
    event.set()
    lock.use_mock_exit_event()
    if make is not None:
        assert lock.acquire()
        assert lock.release()


@pytest.mark.parametrize("make", [threading.Event, multiprocessing.Event])
@pytest.mark.parametrize("poll_interval", [0.05, 5.0])
def test_an_exit_event_ends_a_wait_whatever_the_poll_interval(held, name, make, poll_interval):
    event, waiting, ended = make(), threading.Event(), []

    def wait():
        lock = shmlock.ShmLock(name, poll_interval=poll_interval, exit_event=event)
        waiting.set()
        assert not lock.acquire()
        ended.append((time.monotonic(), kept_waiting("/proc/thread-self")))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    until(lambda: "has waiters" in held.status())
    before = kept_waiting(f"/proc/self/task/{thread.native_id}") + kept_waiting("/proc/self")
    begin = time.monotonic()
    event.set()
    here = kept_waiting("/proc/self")
    thread.join()
    ((end, there),) = ended
    assert end - begin - (here + there - before) < 1.0, "without the time of other programs"


def test_an_exception_of_an_exit_event_is_the_callers(name):
    class Broken(threading.Event):
        def is_set(self):
            raise OSError("its handle is invalid")

    lock = shmlock.ShmLock(name, exit_event=Broken())
    with pytest.raises(OSError, match="invalid"):
        lock.acquire()
    other = shmlock.ShmLock(name)
    assert other.acquire(timeout=False)


def sleeps_of(thread):
    """Returns how often a thread of this process has gone to sleep."""
    for line in pathlib.Path(f"/proc/self/task/{thread}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError("the kernel counts them")


@needs_futex_waitv
@pytest.mark.parametrize("kind", ["threading", "own", "subclass"])
def test_an_exit_event_ends_a_wait_at_once_and_not_at_the_next_look(held, name, kind):
    """Each event is set right after a look: the next one is a second away."""

    class Event(threading.Event):
        pass

    locks, threads, times = [], [], []
    for _ in range(3):
        event = {"threading": threading.Event, "own": lambda: None, "subclass": Event}[kind]()
        locks.append(shmlock.ShmLock(name, exit_event=event))
        locks[-1].get_exit_event()
        threads.append(threading.Thread(target=locks[-1].acquire))
        threads[-1].start()
    time.sleep(2)  # a parameter: looks are a second apart
    for lock, thread in zip(locks, threads, strict=True):
        before = sleeps_of(thread.native_id)
        until(lambda thread=thread, before=before: sleeps_of(thread.native_id) > before)
        begin = time.monotonic()
        lock.get_exit_event().set()
        thread.join()
        times.append(time.monotonic() - begin)
    assert min(times) < 0.5, times


@needs_futex_waitv
def test_an_event_that_was_set_and_cleared_at_once_ends_the_wait_when_it_is_set_again(held, name):
    """The first `set()` takes the waiter off the event's list."""
    events, threads, times = [threading.Event() for _ in range(3)], [], []
    for event in events:
        lock = shmlock.ShmLock(name, exit_event=event)
        threads.append(threading.Thread(target=lock.acquire))
        threads[-1].start()
    time.sleep(2)  # a parameter: looks are a second apart
    for event, thread in zip(events, threads, strict=True):
        before = sleeps_of(thread.native_id)
        with event._cond:  # as after a `set()` and a `clear()` without a look between them
            event._cond.notify_all()
        until(lambda thread=thread, before=before: sleeps_of(thread.native_id) > before)
        begin = time.monotonic()
        event.set()
        thread.join()
        times.append(time.monotonic() - begin)
    assert min(times) < 0.5, times


def test_events_that_are_built_otherwise_end_a_wait_too(held, name):
    """Such an event is told of no waiter: it is polled."""

    class Inverted(threading.Event):
        def is_set(self):
            return not super().is_set()

    class Slotted(threading.Event):
        def __init__(self):
            super().__init__()
            self._cond = threading.Condition()
            self._cond._waiters = []

    for event, end in [(Inverted(), "clear"), (Slotted(), "set"), (multiprocessing.Event(), "set")]:
        if end == "clear":
            event.set()
        lock = shmlock.ShmLock(name, exit_event=event)
        thread = threading.Thread(target=lock.acquire)
        thread.start()
        until(lambda: "has waiters" in held.status())
        time.sleep(0.1)  # a parameter: it has a place
        if isinstance(event, threading.Event):
            assert not event._cond._waiters
        getattr(event, end)()
        thread.join()


@pytest.mark.parametrize("is_at_import", [False, True])
def test_an_event_with_a_lock_of_the_program_is_polled(name, child, is_at_import):
    """Libraries such as gevent replace the locks of `threading`. Code of Python would run while the
    waiter has the event's lock, and a signal handler in it that sets the event would hang."""
    owner = child(HOLDER, name)
    owner.line()
    waiter = child(
        """
        import signal, sys, threading
        native, event = threading.Lock, None
        class Lock:
            def __init__(self):
                self.lock = native()
                self.__enter__, self.__exit__ = self.lock.__enter__, self.lock.__exit__
                self.release, self._is_owned = self.lock.release, self.lock.locked
            def acquire(self, blocking=True):
                acquired = self.lock.acquire(blocking)
                if event is not None and not blocking:
                    signal.raise_signal(signal.SIGUSR1)
                return acquired
        if sys.argv[2] == "True":
            threading.Lock = Lock
            import shmlock
        else:
            import shmlock
            threading.Lock = Lock
        event = threading.Event()
        threading.Lock = native
        signal.signal(signal.SIGUSR1, lambda *_: event.set())
        lock = shmlock.ShmLock(sys.argv[1], exit_event=event)
        print(lock.acquire(timeout=0.2), event.is_set(), len(event._cond._waiters))
        threading.Timer(0.1, event.set).start()
        print(lock.acquire())
        """,
        name,
        is_at_import,
    )
    waiter.line("False False 0")
    waiter.line("False")
    assert waiter.end() == 0
    owner.say()
    owner.line("released")
    owner.say()
    owner.end()


def test_an_event_is_not_disturbed_by_the_waits_that_it_ends(held, name):
    """Its own waiters are woken, it is waited for again, and its list does not grow."""
    event = threading.Event()
    for _ in range(3):
        locks = [shmlock.ShmLock(name, exit_event=event) for _ in range(3)]
        threads = [threading.Thread(target=lock.acquire) for lock in locks]
        threads.append(threading.Thread(target=event.wait))
        for thread in threads:
            thread.start()
        time.sleep(0.1)  # a parameter: each has a place
        event.set()
        for thread in threads:
            thread.join()
        assert not event._cond._waiters
        event.clear()
        for _ in range(5):
            assert not in_a_thread(partial(locks[0].acquire, timeout=0.1))
        assert len(event._cond._waiters) <= 1
    assert not event.wait(0.01)


def test_a_signal_handler_may_wait_while_its_thread_has_the_event_locked(name, child):
    """As in the middle of `set()`: it does not wait for its own thread."""
    owner = child(HOLDER, name)
    owner.line()
    waiter = child(
        """
        import os, signal, sys, threading, shmlock
        event = threading.Event()
        lock = shmlock.ShmLock(sys.argv[1], exit_event=event)
        signal.signal(signal.SIGUSR1, lambda *_: print(lock.acquire(timeout=0.2)))
        with event._cond:
            os.kill(os.getpid(), signal.SIGUSR1)
            print("goes on")
        """,
        name,
    )
    waiter.line("False")
    waiter.line("goes on")
    assert waiter.end() == 0
    owner.say()
    owner.line("released")
    owner.say()
    owner.end()


def test_a_signal_handler_sets_the_event_of_the_wait_that_it_interrupts(name, child):
    """At any moment: it never waits for the wait itself."""
    owner = child(HOLDER, name)
    owner.line()
    waiter = child(
        """
        import random, signal, sys, threading, shmlock
        event = threading.Event()
        lock = shmlock.ShmLock(sys.argv[1], exit_event=event)
        signal.signal(signal.SIGALRM, lambda *_: event.set())
        for _ in range(100):
            event.clear()
            # Around the moment at which the wait tells the event of itself.
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.02, 0.04))
            assert not lock.acquire()
        print("done")
        """,
        name,
    )
    waiter.line("done")
    assert waiter.end() == 0
    owner.say()
    owner.line("released")
    owner.say()
    owner.end()
