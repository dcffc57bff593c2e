"""fork, spawn and forkserver: what becomes of an object in another process."""

import copy
import gc
import multiprocessing
import os
import pickle
import threading
import time

import pytest

import shmlock
from conftest import increment, until
from shmlock.shmlock_exceptions import ShmLockRuntimeError


def in_a_forked_child(function):
    """Runs a function in a forked child; returns its text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = str(function())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with open(read) as output:
        text = output.read()
    os.waitpid(pid, 0)
    return text


USES = {
    "acquire": lambda lock: lock.acquire(),
    "try": lambda lock: lock.acquire(timeout=False),
    "with": lambda lock: lock.__enter__(),
    "lock": lambda lock: lock.lock().__enter__(),
    "release": lambda lock: lock.release(),
    "force": lambda lock: lock.release(force=True),
    "holder": lambda lock: lock.holder(),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("state", ["fresh", "used", "held", "in-a-block"])
def test_a_forked_child_is_refused_and_the_parent_is_not_disturbed(name, use, state):
    lock, other = shmlock.ShmLock(name), shmlock.ShmLock(name)
    if state == "used":
        assert lock.acquire()
        assert lock.release()
    if state == "held":
        assert lock.acquire()
    if state == "in-a-block":
        lock.__enter__()
    text = in_a_forked_child(lambda: USES[use](lock))
    assert text.startswith("ShmLockRuntimeError"), text
    is_held = state in ("held", "in-a-block")
    assert lock.locked == is_held
    assert other.acquire(timeout=False) != is_held
    other.release()
    if state == "held":
        assert lock.release()
    if state == "in-a-block":
        lock.__exit__(None, None, None)
    assert lock.acquire()
    assert lock.release()


def test_a_forked_child_can_make_an_object_of_the_name(name):
    lock = shmlock.ShmLock(name)

    def work():
        own = shmlock.ShmLock(name)
        return own.acquire(timeout=False), lock.locked

    with lock:
        assert in_a_forked_child(work) == "(False, False)"
    assert in_a_forked_child(work) == "(True, False)"


@pytest.mark.parametrize("interop", [False, True])
def test_the_end_of_a_forked_child_releases_nothing_of_the_parent(name, interop):
    lock, other = shmlock.ShmLock(name, interop=interop), shmlock.ShmLock(name, interop=interop)
    with lock:

        def forget():
            nonlocal lock
            del lock
            gc.collect()
            return "gone"

        kept = lock
        assert in_a_forked_child(forget) == "gone"
        assert kept.locked
        assert not other.acquire(timeout=False)
        assert os.path.exists(f"/dev/shm/{name}") == interop
    assert other.acquire(timeout=False)
    other.release()


def test_a_fork_while_other_threads_use_the_object_leaves_a_child_that_ends(name):
    lock, stop = shmlock.ShmLock(name), threading.Event()

    def use():
        while not stop.is_set():
            threading.Thread(target=lambda: lock.acquire() and lock.release()).start()
            with lock:
                pass

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()

    def work():
        own = shmlock.ShmLock(f"{name}-child")
        with own:
            return "done"

    for _ in range(50):
        assert in_a_forked_child(work) == "done"
    stop.set()
    for thread in threads:
        thread.join()
    until(lambda: threading.active_count() == 1)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_object_that_is_passed_to_a_process_is_reopened_there(name, tmp_path, method):
    path = tmp_path / "number"
    path.write_text("0")
    context = multiprocessing.get_context(method)
    lock = shmlock.ShmLock(name, poll_interval=0.5, exit_event=context.Event())
    workers = [context.Process(target=increment, args=(lock, path, 200)) for _ in range(3)]
    for worker in workers:
        worker.start()
    increment(lock, path, 200)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert path.read_text() == "800"


KEPT = []


def use_a_local(name):
    with shmlock.ShmLock(name):
        pass


def use_a_global(name):
    KEPT.append(shmlock.ShmLock(name))
    with KEPT[0]:
        pass


def use_an_argument(lock):
    with lock:
        pass


@pytest.mark.parametrize(
    ("method", "function", "is_left"),
    [
        ("fork", use_a_local, False),
        ("fork", use_a_global, True),
        ("forkserver", use_a_local, False),
        ("forkserver", use_a_global, True),
        ("forkserver", use_an_argument, True),
        ("spawn", use_a_global, False),
        ("spawn", use_an_argument, False),
    ],
)
def test_a_worker_with_an_open_object_at_its_end_may_leave_the_file_which_the_next_user_removes(
    name, method, function, is_left
):
    """Workers by fork and by forkserver end by `os._exit`."""
    argument = shmlock.ShmLock(name) if function is use_an_argument else name
    worker = multiprocessing.get_context(method).Process(target=function, args=(argument,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    file = f"/dev/shm/{name}.shmlock"
    assert os.path.exists(file) == is_left
    del worker, argument
    use_a_local(name)
    assert not os.path.exists(file)


def test_an_object_that_is_passed_by_fork_is_refused_in_the_child(name):
    lock = shmlock.ShmLock(name)
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def work():
        try:
            lock.acquire()
        except ShmLockRuntimeError:
            results.put("refused")

    worker = context.Process(target=work)
    worker.start()
    assert results.get() == "refused"
    worker.join()


@pytest.mark.parametrize("kind", ["threading", "own"])
def test_a_forked_child_has_a_copy_of_an_exit_event_and_does_not_end_the_parents_wait(name, kind):
    owner, lock = shmlock.ShmLock(name), shmlock.ShmLock(name)
    if kind == "threading":
        lock = shmlock.ShmLock(name, exit_event=threading.Event())
    event = lock.get_exit_event()

    def work():
        own = shmlock.ShmLock(name, exit_event=event)
        waiter = threading.Thread(target=own.acquire)
        waiter.start()
        time.sleep(0.1)  # a parameter: it has a place
        event.set()
        waiter.join()
        return "ended"

    with owner:
        results = []
        waiter = threading.Thread(target=lambda: results.append(lock.acquire()))
        waiter.start()
        until(lambda: "has waiters" in owner.status())
        time.sleep(0.1)  # a parameter: it has a place
        assert in_a_forked_child(work) == "ended"
        assert not event.is_set()
        assert not results
    waiter.join()
    assert results == [True]


def test_a_copy_of_an_own_event_is_another_event(name):
    lock = shmlock.ShmLock(name)
    lock.get_exit_event().set()
    for event in (pickle.loads(pickle.dumps(lock.get_exit_event())), copy.copy(lock._exit_event)):
        assert event.is_set()
        event.clear()
        assert shmlock.ShmLock(name, exit_event=event).acquire()
    assert not lock.acquire()


def test_a_copy_by_pickle_is_another_object_of_the_lock(name):
    lock = shmlock.ShmLock(name, poll_interval=0.5, block_signals=True)
    lock.description = "the original"
    another = pickle.loads(pickle.dumps(lock))
    assert (another.name, another.poll_interval, another.description) == (name, 0.5, "the original")
    assert another.uuid != lock.uuid
    with lock:
        assert not another.acquire(timeout=False)
