"""Every mixture of `acquire`, `with lock`, `with lock(timeout)` and `with lock.lock(timeout)`."""

import contextlib
import itertools
import threading

import pytest

import shmlock
from shmlock.shmlock_exceptions import ShmLockRuntimeError


@contextlib.contextmanager
def by_hand(lock):
    outer = lock.locked
    assert lock.acquire()
    yield True
    if not outer:
        assert lock.release()


FORMS = {
    "acquire": by_hand,
    "with": lambda lock: lock,
    "call": lambda lock: lock(timeout=1),
    "lock": lambda lock: lock.lock(),
    "lock-timeout": lambda lock: lock.lock(timeout=0.5),
}
BLOCKS = sorted(set(FORMS) - {"acquire"})


def free(name):
    """Returns whether another object can acquire the lock."""
    other = shmlock.ShmLock(name)
    return other.acquire(timeout=False) and other.release()


@pytest.mark.parametrize("forms", list(itertools.product(FORMS, repeat=3)), ids="-".join)
def test_a_lock_is_held_until_the_outermost_form_ends(name, forms):
    lock = shmlock.ShmLock(name)
    outer, middle, inner = (FORMS[form] for form in forms)
    with outer(lock) as first:
        assert first
        with middle(lock) as second:
            assert second
            with inner(lock) as third:
                assert third
                assert not free(name)
            assert lock.locked
            assert not free(name)
        assert lock.locked
        assert not free(name)
    assert not lock.locked
    assert free(name)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_explicit_hold_outlives_a_block_in_it(name, block):
    lock = shmlock.ShmLock(name)
    assert lock.acquire()
    with FORMS[block](lock) as acquired:
        assert acquired
    assert lock.locked
    assert not free(name)
    assert lock.release()
    assert free(name)


@pytest.mark.parametrize("outer", BLOCKS)
@pytest.mark.parametrize("inner", BLOCKS)
def test_a_block_that_fails_does_not_end_the_block_around_it(name, outer, inner):
    event = threading.Event()
    lock = shmlock.ShmLock(name, exit_event=event)
    with FORMS[outer](lock) as first:
        assert first
        event.set()
        with FORMS[inner](lock) as second:
            assert not second
        assert lock.locked
        assert not free(name)
        event.clear()
    assert free(name)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_without_the_lock_runs_and_releases_nothing(name, block):
    owner, lock = shmlock.ShmLock(name), shmlock.ShmLock(name)
    assert owner.acquire()
    lock(timeout=False)
    block = {"with": lambda: lock, "call": lambda: lock(False)}.get(block, lambda: lock.lock(False))
    with block() as acquired:
        assert not acquired
    assert owner.locked
    assert not free(name)
    assert owner.release()


@pytest.mark.parametrize("block", BLOCKS)
def test_an_exception_in_a_block_releases_the_lock(name, block):
    lock = shmlock.ShmLock(name)
    with pytest.raises(ZeroDivisionError), FORMS[block](lock):
        raise ZeroDivisionError
    assert free(name)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_release_in_a_block_is_refused_and_by_force_it_ends_all_holds(name, block):
    lock = shmlock.ShmLock(name)
    with FORMS[block](lock):
        with pytest.raises(ShmLockRuntimeError):
            lock.release()
        with FORMS[block](lock):
            assert lock.release(force=True)
            assert not lock.locked
            assert free(name)
            assert not lock.release(force=True)
        assert lock.acquire(), "a hold of its own, which the outer block does not end"
    assert not free(name)
    assert lock.release()
    assert not lock.release()
    assert free(name)


def test_acquisitions_are_not_counted(name):
    lock = shmlock.ShmLock(name)
    assert lock.acquire()
    assert lock.acquire()
    assert lock.release()
    assert not lock.release()
    with lock:
        assert lock.acquire(), "adds nothing in a block"
    assert free(name)


def test_an_exit_stack_releases_what_was_acquired_by_hand(name):
    lock = shmlock.ShmLock(name)
    with contextlib.ExitStack() as stack:
        assert lock.acquire()
        stack.push(lock)
        assert not free(name)
    assert free(name)


def test_a_timeout_given_to_a_call_stays(name):
    owner, lock = shmlock.ShmLock(name), shmlock.ShmLock(name)
    assert owner.acquire()
    assert lock(timeout=0.01) is lock
    for _ in range(2):
        with lock as acquired:
            assert not acquired
    owner.release()


def test_a_context_manager_is_a_decorator_as_well(name):
    lock = shmlock.ShmLock(name)

    @lock.lock(timeout=1)
    def guarded():
        return lock.locked and not free(name)

    assert guarded()
    assert guarded()
    assert not lock.locked


def test_a_block_that_another_thread_has_entered_cannot_be_left_here(name):
    lock = shmlock.ShmLock(name)
    block = lock.lock()
    entered, leave = threading.Event(), threading.Event()

    def enter():
        block.__enter__()
        entered.set()
        leave.wait()
        block.__exit__(None, None, None)

    thread = threading.Thread(target=enter)
    thread.start()
    entered.wait()
    with pytest.raises(ShmLockRuntimeError):
        block.__exit__(None, None, None)
    assert not free(name)
    leave.set()
    thread.join()
    assert free(name)


def test_a_release_that_is_refused_inside_a_block_ends_no_hold(name):
    lock = shmlock.ShmLock(name)
    assert lock.acquire()
    with lock, pytest.raises(ShmLockRuntimeError, match="with"):
        lock.release()
    assert lock.locked
    assert lock.release()
