"""Timeouts, exit events, and what ends a wait."""

import multiprocessing
import pathlib
import threading
import time
from functools import partial

import pytest

import shmlock
from conftest import HOLDER, needs_futex_waitv, until
from shmlock.shmlock_exceptions import ShmLockRuntimeError, ShmLockValueError


@pytest.fixture
def held(name):
    """A lock that another object of this thread holds."""
    owner = shmlock.ShmLock(name)
    assert owner.acquire()
    yield owner
    owner.release(force=True)


def in_a_thread(function):
    """Runs a function in a thread, and returns its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("poll_interval", [0.001, 2.0])
@pytest.mark.parametrize("timeout", [0.1, True, 1e-9])
def test_a_timeout_is_kept_whatever_the_poll_interval(held, name, poll_interval, timeout):
    def wait():
        lock = shmlock.ShmLock(name, poll_interval=poll_interval)
        begin = time.monotonic()
        assert not lock.acquire(timeout=timeout)
        return time.monotonic() - begin

    for took in (in_a_thread(wait), wait()):  # by another thread, and by the one that holds it
        assert float(timeout) <= took + 1e-6
        assert took < float(timeout) + 1.0, "a busy machine may be late, the interval is not"


@pytest.mark.parametrize("timeout", [1e-9, False, True, -1, 0.5, 1e300, 10**400, -(10**400)])
def test_a_free_lock_is_acquired_whatever_the_timeout(name, timeout):
    lock = shmlock.ShmLock(name)
    assert lock.acquire(timeout=timeout)
    assert lock.release()


@pytest.mark.parametrize("timeout", [False, -1, float("nan")])
def test_one_try_does_not_wait(held, name, timeout):
    lock = shmlock.ShmLock(name)
    assert not lock.acquire(timeout=timeout)


@pytest.mark.parametrize("timeout", [None, 0, 0.0])
def test_none_and_zero_wait_without_a_limit(held, name, timeout):
    acquired, waiting = threading.Event(), threading.Event()

    def wait():
        lock = shmlock.ShmLock(name)
        waiting.set()
        assert lock.acquire(timeout=timeout)
        acquired.set()
        lock.release()

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    until(lambda: "has waiters" in held.status())
    assert not acquired.is_set()
    held.release()
    thread.join()
    assert acquired.is_set()


@pytest.mark.parametrize("timeout", ["1", [], object()])
def test_a_timeout_of_another_type_is_a_type_error(name, timeout):
    lock = shmlock.ShmLock(name)
    with pytest.raises(TypeError):
        lock.acquire(timeout=timeout)
    with pytest.raises(TypeError):
        lock.lock(timeout=timeout)


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
        ended.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    until(lambda: "has waiters" in held.status())
    begin = time.monotonic()
    event.set()
    thread.join()
    assert ended[0] - begin < 1.0


def test_an_exception_of_an_exit_event_is_the_callers(name):
    class Broken(threading.Event):
        def is_set(self):
            raise OSError("its handle is invalid")

    lock = shmlock.ShmLock(name, exit_event=Broken())
    with pytest.raises(OSError, match="invalid"):
        lock.acquire()
    other = shmlock.ShmLock(name)
    assert other.acquire(timeout=False)


def test_two_objects_of_one_thread_exclude_each_other_and_wait(held, name):
    lock = shmlock.ShmLock(name)
    begin = time.monotonic()
    assert not lock.acquire(timeout=0.2)
    assert time.monotonic() - begin >= 0.2
    held.release()
    assert lock.acquire()
    assert lock.release()


def test_a_release_without_a_hold_is_false(name):
    lock = shmlock.ShmLock(name)
    assert not lock.release()
    assert not lock.release(force=True)


@pytest.mark.parametrize("bad", ["a/b", "x" * 256, "a\0b", ".", ".."])
def test_a_name_that_cannot_be_a_file_is_refused_with_the_reason(bad):
    lock = shmlock.ShmLock(bad)
    with pytest.raises(ShmLockValueError):
        lock.acquire()


def test_leading_slashes_do_not_count_as_for_shared_memory(name):
    lock, other = shmlock.ShmLock(f"/{name}"), shmlock.ShmLock(name)
    assert lock.name == f"/{name}"
    with lock:
        assert not other.acquire(timeout=False)


def test_a_foreign_file_is_an_error_and_is_left_alone(name, tmp_path):
    file = tmp_path / f"{name}.shmlock"
    file.write_text("something else")
    lock = shmlock.ShmLock(name, directory=tmp_path)
    with pytest.raises(ShmLockRuntimeError):
        lock.acquire()
    assert file.read_text() == "something else"


def test_a_failed_system_call_keeps_its_errno(name):
    lock = shmlock.ShmLock(name, directory="/proc/none")
    with pytest.raises(FileNotFoundError) as raised:
        lock.acquire()
    assert raised.value.filename


def test_a_class_that_does_not_call_init_is_told_so():
    class Careless(shmlock.ShmLock):
        def __init__(self):
            pass

    with pytest.raises(ShmLockRuntimeError, match="__init__"):
        Careless().acquire()


def test_a_logger_gets_a_record_of_each_step(name, caplog):
    import logging

    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    lock, other = shmlock.ShmLock(name, logger=logger), shmlock.ShmLock(name)
    with lock:
        pass
    with other:
        assert not lock.acquire(timeout=0.01)
    texts = [record.getMessage() for record in caplog.records]
    for text in ("initialized", "acquired", "released", "another handle", "of this thread"):
        assert any(text in one for one in texts), (text, texts)


def test_a_logger_gets_a_record_of_each_acquisition_and_release(name, caplog):
    import logging

    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    lock = shmlock.ShmLock(name, logger=logger)
    for _ in range(3):
        lock.acquire()
        lock.release()
    texts = [record.getMessage() for record in caplog.records]
    for text in ("acquired", "released"):
        assert sum(text in one for one in texts) == 3, texts


def test_a_logger_that_raises_leaves_no_hold_behind(name):
    class Broken(shmlock.ShmLock):
        def debug(self, message, *args):
            if "acquired" in message:
                raise RuntimeError("no space left")

    import logging

    lock, other = Broken(name, logger=logging.getLogger(name)), shmlock.ShmLock(name)
    for acquire in (lock.acquire, lock.__enter__, lock.lock().__enter__):
        with pytest.raises(RuntimeError, match="no space"):
            acquire()
        assert not lock.locked
        assert other.acquire(timeout=False)
        assert other.release()


#: Waits in its main thread or in another one, while a child holds the lock, and counts its wakes.
SLEEPER = """
    import sys, threading, time, shmlock
    name, form, kind = sys.argv[1:]
    lock = shmlock.ShmLock(name, poll_interval=0.001)
    if kind == "threading":
        lock = shmlock.ShmLock(name, poll_interval=0.001, exit_event=threading.Event())
    if kind == "own":
        lock.get_exit_event()
    def wait():
        ids.append(threading.get_native_id())
        assert not lock.acquire(timeout=8)
    def count():
        for line in open(f"/proc/self/task/{ids[0]}/status"):
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])
    def watch():
        while not ids:
            time.sleep(0.01)
        time.sleep(2)
        before = count()
        time.sleep(4)
        print(count() - before)
    ids = []
    first, second = (wait, watch) if form == "main" else (watch, wait)
    other = threading.Thread(target=second)
    other.start()
    first()
    other.join()
"""


@needs_futex_waitv
def test_a_wait_wakes_at_most_about_once_a_second(name, child):
    """It does so whatever its poll interval; the first second has some more wakes."""
    owner = child(HOLDER, name)
    owner.line()
    forms = [("main", "none"), ("other", "none"), ("main", "threading"), ("other", "own")]
    sleepers = [child(SLEEPER, name, *form) for form in forms]
    wakes = [int(sleeper.line()) for sleeper in sleepers]
    assert max(wakes) <= 10, (wakes, "four, and some that a busy machine adds")
    assert [sleeper.end() for sleeper in sleepers] == [0] * len(forms)
    owner.say()
    owner.line("released")
    owner.say()
    owner.end()


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
        with event._cond:  # what is left of a `set()` and a `clear()` that no look came between
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


#: Waits, and says the fencing token of its acquisition. While it waits, it looks at an exit event,
#: or for signals only.
LOOKER = """
    import sys, threading, shmlock
    event = threading.Event() if sys.argv[2] == "event" else None
    lock = shmlock.ShmLock(sys.argv[1], exit_event=event)
    print("waits")
    with lock:
        print(lock.fencing_token)
    sys.stdin.readline()
"""

#: The same in a task, which never looks.
TASK = """
    import asyncio, sys, shmlock
    async def work():
        lock = shmlock.AsyncShmLock(sys.argv[1])
        print("waits")
        async with lock:
            print(lock.fencing_token)
    asyncio.run(work())
    sys.stdin.readline()
"""


def sleeps_on_a_futex(pid):
    """Returns True if a thread of the process does."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if "futex" in (task / "wchan").read_text():
            return True
    return False


@needs_futex_waitv
@pytest.mark.parametrize("form", ["event", "signals"])
def test_a_waiter_that_looks_is_not_passed_by_later_waiters_that_never_look(name, child, form):
    owner = child(HOLDER, name)
    owner.line()
    first = child(LOOKER, name, form)
    first.line("waits")
    time.sleep(0.5)  # a parameter: it has begun to look
    later = child(TASK, name)
    later.line("waits")
    until(lambda: sleeps_on_a_futex(later.pid))
    time.sleep(2.5)  # a parameter: it looks twice at least
    owner.say()
    assert int(first.line()) < int(later.line()), "the kernel wakes in the order of their sleep"
    for one in (first, later, owner):
        one.say()
        assert one.end() == 0
