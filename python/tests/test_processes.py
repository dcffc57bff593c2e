"""fork, spawn, forkserver and threads."""

import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import shmlock
from conftest import until
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


def increment(lock, path, count):
    """Adds to the number in a file. Without the lock, some additions are lost."""
    for _ in range(count):
        with lock:
            with open(path) as file:
                number = int(file.read())
            with open(path, "w") as file:
                file.write(str(number + 1))


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


def test_threads_share_an_object_and_exclude_each_other(name, tmp_path):
    path = tmp_path / "number"
    path.write_text("0")
    lock = shmlock.ShmLock(name)
    threads = [threading.Thread(target=increment, args=(lock, path, 200)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "1200"
    assert not lock.locked


def test_what_a_thread_holds_is_released_at_its_end(name):
    lock = shmlock.ShmLock(name)
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    assert not lock.locked
    # The end of the thread is a little later than the end of its Python code.
    assert lock.acquire(timeout=30)
    assert lock.recovered is None
    lock.release()


def test_a_daemon_thread_may_wait_while_the_interpreter_ends(name, child):
    one = child(
        """
        import sys, threading, time, shmlock
        owner = shmlock.ShmLock(sys.argv[1])
        owner.acquire()
        waiter = threading.Thread(target=shmlock.ShmLock(sys.argv[1]).acquire, daemon=True)
        waiter.start()
        while "has waiters" not in owner.status():
            time.sleep(0.001)
        class Slow:
            # The interpreter is ending, and other threads may run during the sleep.
            def __del__(self, sleep=time.sleep):
                sleep(0.3)
        slow = Slow()
        print("ending")
        """,
        name,
    )
    one.line("ending")
    assert one.end() == 0
    lock = shmlock.ShmLock(name)
    assert lock.acquire(timeout=30)
    lock.declare_consistent()
    lock.release()


def test_an_object_that_is_gone_has_released_what_other_threads_held(name):
    lock, other = [shmlock.ShmLock(name)], shmlock.ShmLock(name)
    acquired, end = threading.Event(), threading.Event()

    def hold():
        lock[0].acquire()
        acquired.set()
        end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    acquired.wait()
    assert not other.acquire(timeout=False)
    lock.clear()
    gc.collect()
    assert other.acquire(timeout=30)
    other.release()
    end.set()
    thread.join()


def test_a_thread_has_handles_of_many_objects(name):
    locks = [shmlock.ShmLock(f"{name}-{number}") for number in range(40)]
    for _ in range(3):
        for lock in locks:
            assert lock.acquire()
            assert lock.locked
        assert all(lock.locked for lock in locks)
        assert all(lock.release() for lock in locks)
    del locks[::2]
    assert all(lock.acquire() and lock.release() for lock in locks)


def test_one_uuid_names_an_object_in_all_of_its_threads(name):
    lock = shmlock.ShmLock(name)
    seen = []

    def look():
        with lock:
            seen.append(lock.holder().uuid)

    for _ in range(3):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    look()
    assert seen == [lock.uuid] * 4


def test_a_second_interpreter_of_a_process_is_refused_with_a_word():
    code = """
        import shmlock
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        id = interpreters.create()
        try:
            print(interpreters.run_string(id, "import shmlock"))
        except BaseException as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "one interpreter of a process" in output.stdout, output


def test_the_extension_declares_that_it_needs_no_interpreter_lock():
    """On a free-threaded Python, the import does not switch the lock on."""
    if not hasattr(sys, "_is_gil_enabled"):
        pytest.skip("this Python has one lock for all threads")
    import sysconfig

    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled()


def descriptors_and_maps():
    with open("/proc/self/maps") as maps:
        return len(os.listdir("/proc/self/fd")), len(maps.readlines()), threading.active_count()


def is_back_at(before):
    now = descriptors_and_maps()
    return all(number <= then + 8 for number, then in zip(now, before, strict=True))


@pytest.mark.parametrize("interop", [False, True])
def test_objects_waits_threads_and_errors_leave_nothing_open(name, interop):
    def use():
        owner = shmlock.ShmLock(name)
        assert owner.acquire()
        for number in range(300):
            lock = shmlock.ShmLock(name, interop=interop)
            assert not lock.acquire(timeout=1e-4)
            threading.Thread(target=lambda lock=lock: lock.acquire(timeout=False)).start()
            with pytest.raises(ShmLockRuntimeError):
                lock.__init__(name)
            another = pickle.loads(pickle.dumps(lock))
            assert not another.acquire(timeout=False)
            kept = shmlock.SharedBlock(f"{name}-block", 8)
            with kept as data:
                data[0] = number % 256
        owner.release()

    use()
    until(lambda: threading.active_count() == 1)
    before = descriptors_and_maps()
    use()
    until(lambda: threading.active_count() == 1)
    # The end of a thread is a little later than that of its Python code.
    until(lambda: is_back_at(before))


def test_an_object_of_many_threads_keeps_no_handle_of_those_that_have_ended(name):
    lock = shmlock.ShmLock(name)

    def use():
        for _ in range(300):
            thread = threading.Thread(target=lambda: lock.acquire() and lock.release())
            thread.start()
            thread.join()

    use()
    before = descriptors_and_maps()
    use()
    until(lambda: is_back_at(before))
