"""What the old package has not: recovery from killed owners, and what it tells."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import shmlock
from conftest import HOLDER, until
from shmlock.shmlock_exceptions import ShmLockRuntimeError


def test_the_lock_of_a_killed_owner_is_acquired_and_tells_of_the_death(name, child):
    owner = child(HOLDER, name)
    uuid = owner.line()
    lock = shmlock.ShmLock(name)
    assert not lock.acquire(timeout=False)
    owner.kill()
    assert lock.acquire(timeout=30)
    dead = lock.recovered.dead
    assert (dead.uuid, dead.pid, dead.description) == (uuid, owner.pid, "a child")
    assert "a child" in str(dead)
    lock.release()

    assert lock.acquire()
    assert lock.recovered is not None, "no owner has declared the data consistent"
    assert lock.recovered.dead is None
    lock.declare_consistent()
    assert lock.recovered is None
    lock.release()
    with lock:
        assert lock.recovered is None


def test_a_waiter_is_woken_by_the_death_of_the_owner(name, child):
    owner = child(HOLDER, name)
    owner.line()
    waiting = threading.Event()
    told = []

    def wait():
        lock = shmlock.ShmLock(name)
        waiting.set()
        with lock:
            told.append(lock.recovered.dead.pid)
            lock.declare_consistent()

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    lock = shmlock.ShmLock(name)
    until(lambda: "has waiters" in lock.status())
    owner.kill()
    thread.join()
    assert told == [owner.pid]


def test_a_stopped_owner_is_not_dead(name, child):
    owner = child(HOLDER, name)
    owner.line()
    owner.signal(signal.SIGSTOP)
    lock = shmlock.ShmLock(name)
    assert not lock.acquire(timeout=0.3)
    owner.signal(signal.SIGCONT)
    owner.say()
    owner.line("released")
    assert lock.acquire(timeout=30)
    assert lock.recovered is None
    lock.release()
    owner.say()
    assert owner.end() == 0


def test_the_holder_is_named_and_not_disturbed(name, child):
    owner = child(HOLDER, name)
    uuid = owner.line()
    lock = shmlock.ShmLock(name)
    assert lock.is_locked()
    holder = lock.holder()
    assert (holder.uuid, holder.pid, holder.description) == (uuid, owner.pid, "a child")
    assert holder.pid_is_ours is not False
    assert holder.held_seconds >= 0
    assert lock.debug_get_uuid_of_locking_lock() == uuid
    owner.say()
    owner.line("released")
    assert lock.holder() is None
    assert lock.debug_get_uuid_of_locking_lock() is None
    assert not lock.is_locked()
    owner.say()
    assert owner.end() == 0


def test_a_fencing_token_grows_and_belongs_to_a_hold(name):
    lock, other = shmlock.ShmLock(name), shmlock.ShmLock(name)
    assert lock.fencing_token is None
    seen = []
    for one in (lock, other, lock):
        with one:
            seen.append(one.fencing_token)
    assert seen == sorted(set(seen))
    assert lock.fencing_token is None


def test_only_an_owner_can_declare_the_data_consistent(name):
    lock = shmlock.ShmLock(name)
    with pytest.raises(ShmLockRuntimeError):
        lock.declare_consistent()


def test_a_description_that_changes_is_that_of_the_next_acquisition_in_each_thread(name):
    lock, other = shmlock.ShmLock(name), shmlock.ShmLock(name)

    def described():
        assert lock.acquire()
        text = other.holder().description
        lock.release()
        return text

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(described).result() == ""
        for text in ("first", "second", "third"):
            lock.description = text
            assert described() == text
            assert pool.submit(described).result() == text


def test_a_description_is_cut_to_what_fits(name):
    lock = shmlock.ShmLock(name)
    lock.description = "ä" * 40
    with lock:
        assert lock.holder().description == "ä" * 31
        lock.description = 7
        assert lock.holder().description == "7"
    assert lock.description == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_exit_handlers_release_the_lock_of_a_process_that_a_signal_ends(name, child, number):
    owner = child(
        """
        import sys, shmlock
        lock = shmlock.ShmLock(sys.argv[1])
        lock.add_exit_handlers()
        with lock:
            print("held")
            sys.stdin.readline()
        """,
        name,
    )
    owner.line("held")
    owner.signal(number)
    assert owner.process.wait() == -number
    lock = shmlock.ShmLock(name)
    assert lock.acquire(timeout=30)
    assert lock.recovered is not None, "the block was cut off"
    lock.declare_consistent()
    lock.release()


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise RuntimeError", "del lock", "pass"])
def test_a_process_that_ends_in_order_has_released_the_lock(name, child, end):
    owner = child(
        f"""
        import sys, shmlock
        lock = shmlock.ShmLock(sys.argv[1])
        assert lock.acquire()
        print("held")
        sys.stdin.readline()
        sys.stderr.close()
        {end}
        """,
        name,
    )
    owner.line("held")
    lock = shmlock.ShmLock(name)
    owner.say()
    owner.end()
    assert lock.acquire(timeout=False)
    assert lock.recovered is None
    lock.release()
