"""Loggers, exit events and other code of the program that runs in the middle of a call."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

import shmlock
from shmlock.shmlock_exceptions import ShmLockRuntimeError


class Hook(logging.Logger):
    """A logger that calls a function at the first record that begins with `lock` and ends so."""

    def __init__(self, end, function):
        super().__init__("hook")
        self.end, self.function = end, function

    def debug(self, message, *_):
        if self.function is not None and message.endswith(self.end):
            function, self.function = self.function, None
            function()


def interrupt():
    raise KeyboardInterrupt


FORMS = {
    "acquire": lambda lock: lock.acquire(),
    "with": lambda lock: lock.__enter__(),
    "lock": lambda lock: lock.lock().__enter__(),
}
forms = pytest.mark.parametrize("form", FORMS)


def is_free(name):
    other = shmlock.ShmLock(name)
    return other.acquire(timeout=False) and other.release()


@forms
def test_a_logger_that_raises_leaves_a_free_lock_free(name, form):
    lock = shmlock.ShmLock(name, logger=Hook("acquired", interrupt))
    with pytest.raises(KeyboardInterrupt):
        FORMS[form](lock)
    assert not lock.locked
    assert is_free(name)


@forms
@pytest.mark.parametrize("outer", FORMS)
def test_a_logger_that_raises_in_a_nested_acquisition_ends_no_outer_hold(name, outer, form):
    logger = Hook("acquired", None)
    lock = shmlock.ShmLock(name, logger=logger)
    assert FORMS[outer](lock)
    logger.function = interrupt
    with pytest.raises(KeyboardInterrupt):
        FORMS[form](lock)
    assert lock.locked
    assert not is_free(name)
    assert lock.release(force=True)


@forms
@pytest.mark.parametrize("force", [False, True])
def test_a_logger_that_releases_the_lock_is_found_out(name, form, force):
    lock = shmlock.ShmLock(name)
    lock = shmlock.ShmLock(name, logger=Hook("acquired", lambda: lock.release(force=force)))
    with pytest.raises(ShmLockRuntimeError):
        FORMS[form](lock)
    assert not lock.locked
    assert is_free(name)


@forms
def test_a_child_that_a_logger_forks_does_not_hold_the_lock(name, form):
    pids = []
    lock = shmlock.ShmLock(name, logger=Hook("acquired", lambda: pids.append(os.fork())))
    try:
        acquired = FORMS[form](lock)
    except ShmLockRuntimeError:
        os._exit(7)  # the child
    if pids == [0]:
        os._exit(1)
    assert acquired
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 7
    assert lock.locked
    assert not is_free(name)
    assert lock.release(force=True)


@forms
def test_a_child_that_an_exit_event_forks_does_not_hold_the_lock(name, form):
    pids = []

    class Forking(threading.Event):
        def is_set(self):
            if not pids:
                pids.append(os.fork())
            return False

    lock = shmlock.ShmLock(name, exit_event=Forking())
    try:
        acquired = FORMS[form](lock)
    except ShmLockRuntimeError:
        os._exit(7)  # the child
    if pids == [0]:
        os._exit(1)
    assert acquired
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 7
    assert lock.release(force=True)


def test_a_logger_that_raises_at_a_release_does_not_keep_the_lock(name):
    logger = Hook("released", interrupt)
    lock = shmlock.ShmLock(name, logger=logger)
    with pytest.raises(KeyboardInterrupt), lock:
        pass
    assert is_free(name)


def test_a_timeout_that_raises_is_heard(name):
    class Odd:
        def __float__(self):
            raise KeyboardInterrupt

    lock = shmlock.ShmLock(name)
    for use in (lock.acquire, lock.lock):
        with pytest.raises(KeyboardInterrupt):
            use(Odd())
    assert is_free(name)


#: Daemon threads use a lock, with code of the program in each call, while the interpreter ends.
ENDING = """
    import logging, os, sys, threading, time, shmlock
    name, form = sys.argv[1:]
    class Logger(logging.Logger):
        def debug(self, *_):
            for _ in range(20):
                pass
    class Seconds:
        def __float__(self):
            for _ in range(20):
                pass
            return 1.0
    options = {
        "event": dict(exit_event=threading.Event()),
        "logger": dict(logger=Logger("slow")),
    }.get(form, {})
    begun = threading.Semaphore(0)
    def work(number):
        lock = shmlock.ShmLock(f"{name}-{number}", **options)
        begun.release()
        while True:
            if form == "timeout":
                lock.acquire(Seconds())
                lock.release()
            with lock:
                pass
    for number in range(3):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    for _ in range(3):
        begun.acquire()
    class Slow:
        # The interpreter is ending, and other threads ask for its lock during the sleep.
        def __del__(self, sleep=time.sleep):
            sleep(0.05)
    slow = Slow()
"""


#: Python 3.10 itself may end by SIGSEGV if daemon threads run, in its function `take_gil`. It does
#: with a `threading.Lock` as well (https://github.com/python/cpython/issues/110052).
GOOD_ENDS = {0, -signal.SIGSEGV} if sys.version_info < (3, 11) else {0}


@pytest.mark.parametrize("form", ["plain", "event", "logger", "timeout"])
def test_daemon_threads_in_a_call_do_not_abort_the_end_of_the_interpreter(name, form):
    for _ in range(6):
        command = [sys.executable, "-c", textwrap.dedent(ENDING), name, form]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in GOOD_ENDS, done.stderr
        assert not done.stderr
    for number in range(3):  # a thread may have kept it until the process was gone
        lock = shmlock.ShmLock(f"{name}-{number}")
        assert lock.acquire(timeout=30)
        lock.declare_consistent()
        lock.release()


def block_in_a_generator(lock):
    with lock.lock(timeout=30) as acquired:
        yield acquired


def test_a_generator_of_a_thread_that_has_ended_does_not_end_the_hold_of_its_successor(name):
    """The handle of a later thread may be at the address of the earlier thread's."""
    for _ in range(50):
        lock, generators = shmlock.ShmLock(name), []

        def begin(lock=lock, generators=generators):
            generators.append(block_in_a_generator(lock))
            assert next(generators[0])

        worker = threading.Thread(target=begin)
        worker.start()
        worker.join()
        with lock:
            generators.pop().close()
            assert lock.locked
            assert not is_free(name)
        assert is_free(name)


def test_a_generator_that_is_closed_by_another_thread_says_so(name):
    lock, generators, begun, go_on = shmlock.ShmLock(name), [], threading.Event(), threading.Event()

    def begin():
        generators.append(block_in_a_generator(lock))
        assert next(generators[0])
        begun.set()
        go_on.wait()

    worker = threading.Thread(target=begin)
    worker.start()
    begun.wait()
    with pytest.raises(ShmLockRuntimeError):
        generators.pop().close()
    assert not is_free(name), "the hold of its thread"
    go_on.set()
    worker.join()
    assert lock.acquire(timeout=30)
    lock.release()
