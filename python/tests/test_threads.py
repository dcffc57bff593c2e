"""Threads and interpreters of one process, and what they leave."""

import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest

import shmlock
from conftest import increment, until
from shmlock.shmlock_exceptions import ShmLockRuntimeError


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


def crowd():
    """Runs more threads at one time than a test does. libc keeps stacks and arenas of threads that
    have ended, for as many as ever ran at one time; in a test the machine decides how many."""
    together = threading.Barrier(64)

    def work():
        memory = bytearray(1000)  # by malloc(3), for which a thread gets its arena
        together.wait()
        return memory

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


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

    crowd()
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

    crowd()
    use()
    before = descriptors_and_maps()
    use()
    until(lambda: is_back_at(before))
