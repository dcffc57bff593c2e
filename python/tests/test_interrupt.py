"""Ctrl-C ends every wait, at once."""

import os
import pathlib
import random
import signal
import statistics

import pytest

import shmlock
from conftest import HOLDER, until

ROUNDS = int(os.environ.get("SHMLOCK_ROUNDS", "100"))

#: Waits in one form, round after round, and says how long the interrupt took.
WAITER = """
    import ctypes, os, sys, threading, time, shmlock
    name, form = sys.argv[1:]
    lock = shmlock.ShmLock(name, poll_interval=10.0)
    wait = {
        "acquire": lock.acquire,
        "timeout": lambda: lock.acquire(timeout=1000),
        "with": lock.__enter__,
        "lock": lambda: lock.lock().__enter__(),
        "event": shmlock.ShmLock(name, exit_event=threading.Event()).acquire,
        "signals": shmlock.ShmLock(name, block_signals=True).acquire,
    }.get(form)
    if form == "same-thread":
        name += "-own"
        own, wait = shmlock.ShmLock(name), shmlock.ShmLock(name).acquire
        own.acquire()
    if form == "block":
        name += "-block"
        block = shmlock.SharedBlock(name, 8)
        owner = threading.Thread(target=lambda: (block.__enter__(), time.sleep(1e6)), daemon=True)
        owner.start()
        while not block.shm_lock.is_locked():
            time.sleep(0.001)
        wait = block.__enter__
    if form == "old-style":
        from multiprocessing import shared_memory
        segment = shared_memory.SharedMemory(name, create=True, size=16)
        wait = shmlock.ShmLock(name, interop=True).acquire
    if form == "threading":
        plain = threading.Lock()
        plain.acquire()
        wait = plain.acquire
    def end(schedstat="/proc/self/schedstat"):
        now = time.monotonic_ns()
        delayed = open(schedstat).read().split()[1] if os.path.exists(schedstat) else 0
        print(now, delayed)
    for _ in range(int(os.environ["ROUNDS"])):
        try:
            print("waiting")
            wait()
            print("acquired")
        except KeyboardInterrupt:
            end()
    if form == "old-style":
        segment.close()
        segment.unlink()
    os.kill(os.getpid(), 9) if form == "block" else None
"""


def delayed(pid):
    """Returns how long the main thread of a process was ready, and waited for a processor, in
    nanoseconds: the second number there, Documentation/scheduler/sched-stats.rst."""
    path = pathlib.Path(f"/proc/{pid}/schedstat")
    return int(path.read_text().split()[1]) if path.exists() else 0


FORMS = ["acquire", "timeout", "with", "lock", "event", "signals", "same-thread", "block"]


@pytest.mark.parametrize("form", [*FORMS, "old-style", "threading"])
def test_an_interrupt_ends_each_wait(name, child, form, record_property):
    """The interrupt comes at any moment from before the wait on."""
    import time

    if form != "old-style":
        owner = child(HOLDER, name)
        owner.line()
    waiter = child(WAITER, name, form, ROUNDS=str(ROUNDS))
    took, own = [], []  # `own` is without the time in which other programs had the processors
    for _ in range(ROUNDS):
        waiter.line("waiting")
        time.sleep(random.choice([0, 1e-5, 1e-4, 1e-3, 3e-3]))  # the moment of the interrupt
        before = delayed("self") + delayed(waiter.pid)
        begin = time.monotonic_ns()
        waiter.signal(signal.SIGINT)
        here = delayed("self")
        end, there = map(int, waiter.line().split())
        took.append((end - begin) / 1e6)
        own.append((end - begin - (here + there - before)) / 1e6)
    waiter.end()
    print(f"\n{form}: median {statistics.median(took):.3f} ms, longest {max(took):.3f} ms", end="")
    record_property("longest_ms", max(took))
    assert len(took) == ROUNDS
    assert max(own) < 1000, own
    if form == "block":
        os.unlink(f"/dev/shm/{name}-block.shmlock")
    if form != "old-style":
        owner.say()
        owner.line("released")
        owner.say()
        owner.end()


def test_a_handler_may_use_the_object_that_waits(name, child):
    """It runs between two parts of the wait: the handle is inside no call."""
    owner = child(HOLDER, name)
    owner.line()
    waiter = child(
        """
        import signal, sys, shmlock
        lock = shmlock.ShmLock(sys.argv[1])
        def handler(*_):
            assert not lock.acquire(timeout=False)
            assert not lock.release()
            assert not lock.release(force=True)
            assert lock.holder().description == "a child"
            print("handled")
        signal.signal(signal.SIGUSR1, handler)
        print("waiting")
        with lock as acquired:
            print(acquired, lock.locked)
        """,
        name,
    )
    waiter.line("waiting")
    for _ in range(20):
        waiter.signal(signal.SIGUSR1)
        waiter.line("handled")
    owner.say()
    waiter.line("True True")
    assert waiter.end() == 0
    owner.say()
    owner.end()


def test_a_handler_that_acquires_the_lock_ends_the_wait_with_it(name, child):
    owner = child(HOLDER, name)
    owner.line()
    waiter = child(
        """
        import signal, sys, shmlock
        lock = shmlock.ShmLock(sys.argv[1])
        signal.signal(signal.SIGUSR1, lambda *_: (print("handling"), lock.acquire()))
        print("waiting")
        print(lock.acquire(), lock.locked)
        print(lock.release(), lock.release())
        """,
        name,
    )
    waiter.line("waiting")
    waiter.signal(signal.SIGUSR1)
    waiter.line("handling")
    owner.say()
    waiter.line("True True")
    waiter.line("True False")
    assert waiter.end() == 0
    owner.say()
    owner.end()


def test_other_threads_run_while_one_waits(name):
    import threading

    owner, results = shmlock.ShmLock(name), []
    assert owner.acquire()

    def wait():
        results.append(shmlock.ShmLock(name).acquire())

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: "has waiters" in owner.status())
    for _ in range(1000):  # the interpreter's lock is free meanwhile, or this never ends
        assert thread.is_alive()
    assert not results
    owner.release()
    thread.join()
    assert results == [True]
