"""Timeouts, waits, names and loggers."""

import pathlib
import threading
import time

import pytest

import shmlock
from conftest import HOLDER, in_a_thread, kept_waiting, needs_futex_waitv, until
from shmlock.shmlock_exceptions import ShmLockRuntimeError, ShmLockValueError


@pytest.mark.parametrize("poll_interval", [0.001, 2.0])
@pytest.mark.parametrize("timeout", [0.1, True, 1e-9])
def test_a_timeout_is_kept_whatever_the_poll_interval(held, name, poll_interval, timeout):
    def wait():
        lock = shmlock.ShmLock(name, poll_interval=poll_interval)
        begin, before = time.monotonic(), kept_waiting("/proc/thread-self")
        assert not lock.acquire(timeout=timeout)
        took = time.monotonic() - begin
        return took, took - (kept_waiting("/proc/thread-self") - before)

    # By another thread, and by the one that holds it.
    for took, own in (in_a_thread(wait), wait()):
        assert float(timeout) <= took + 1e-6
        assert own < float(timeout) + 1.0, "a busy machine may be late, the interval is not"


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
        assert lock.acquire(timeout=1000)
        assert lock.release()
    def count():
        for line in open(f"/proc/self/task/{ids[0]}/status"):
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])
    def watch():
        while not ids:
            time.sleep(0.01)
        time.sleep(2)
        begin, before = time.monotonic(), count()
        time.sleep(4)
        wakes, seconds = count() - before, time.monotonic() - begin
        print(wakes, seconds)
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
    seen = [sleeper.line().split() for sleeper in sleepers]
    for wakes, seconds in seen:  # ten in four seconds; a busy machine may watch for longer
        assert int(wakes) <= 2 * (int(float(seconds)) + 1), (seen, "one, and some that it adds")
    owner.say()
    owner.line("released")
    assert [sleeper.end() for sleeper in sleepers] == [0] * len(forms)
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
