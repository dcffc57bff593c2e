"""Old and new programs share one lock, while they migrate: the interoperation mode.

The old package is the one of PyPI, unpacked in the directories that SHMLOCK_OLD names (separated by
colons). ci/python.sh gets it.
"""

import contextlib
import os
import pathlib
import random
import signal
import struct

import pytest

import shmlock
from conftest import until
from shmlock.shmlock_exceptions import (
    ShmLockDanglingSharedMemoryError,
    ShmLockRuntimeError,
    ShmLockValueError,
)

OLD = [path for path in os.environ.get("SHMLOCK_OLD", "").split(":") if path]

#: Counts under the lock, until it is told to stop. Old and new programs have the same text.
COUNTER = """
    import os, struct, sys, mmap, warnings
    warnings.simplefilter("ignore")
    import shmlock
    if sys.version_info < (3, 13):
        shmlock.remove_shm_from_resource_tracker("")
    name, path = sys.argv[1:]
    lock = shmlock.ShmLock(name, poll_interval=0.002)
    file = open(path, "r+b")
    data = mmap.mmap(file.fileno(), 24)
    print(shmlock.__version__)
    done = 0
    while not os.path.exists(path + ".stop"):
        with lock:
            # The second number follows the first: a difference shows two owners, or a death.
            first, second, deaths = struct.unpack("=QQQ", data[:24])
            if first != second:
                if getattr(lock, "recovered", None) is None:
                    print("violation")
                    sys.exit(3)
                deaths += 1
                first = second = max(first, second)
            if getattr(lock, "recovered", None) is not None:
                lock.declare_consistent()
            data[:8] = struct.pack("=Q", first + 1)
            for _ in range(500):  # a kill in the middle is seen
                pass
            data[8:16] = struct.pack("=Q", first + 1)
            data[16:24] = struct.pack("=Q", deaths)
        done += 1
    print("done", done)
"""

old_package = pytest.mark.skipif(not OLD, reason="SHMLOCK_OLD names no old package; ci/python.sh")
both_versions = pytest.mark.parametrize(
    "old", OLD or [None], ids=lambda old: pathlib.Path(old or "none").name
)

#: An old-style owner that holds the lock until it is told to release it.
OLD_HOLDER = """
    import sys, shmlock
    if sys.version_info < (3, 13):
        shmlock.remove_shm_from_resource_tracker("", print_warning=False)
    lock = shmlock.ShmLock(sys.argv[1], poll_interval=0.002)
    print("waiting")
    assert lock.acquire()
    print(lock.uuid)
    sys.stdin.readline()
    assert lock.release()
    print("released")
    sys.stdin.readline()
"""

#: A new-style owner in the interoperation mode.
NEW_HOLDER = """
    import sys, shmlock
    lock = shmlock.ShmLock(sys.argv[1], interop=True)
    assert lock.acquire()
    print(lock.uuid)
    sys.stdin.readline()
    assert lock.release()
    print("released")
"""


def segment(name):
    return pathlib.Path("/dev/shm", name)


def test_the_old_form_exists_while_the_lock_is_held(name):
    lock = shmlock.ShmLock(name, interop=True)
    assert not segment(name).exists()
    for _ in range(2):
        with lock:
            assert segment(name).read_bytes()[:16] == lock._uuid.uuid_bytes
            assert segment(name).stat().st_mode & 0o777 == 0o600
            assert lock.debug_get_uuid_of_locking_lock() == lock.uuid
            with lock.lock():
                assert segment(name).exists()
        assert not segment(name).exists()
        assert lock.debug_get_uuid_of_locking_lock() is None


def test_the_environment_selects_the_mode(name, monkeypatch):
    for value, expected in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("SHMLOCK_INTEROP", value)
        with shmlock.ShmLock(name):
            assert segment(name).exists() == expected
        with shmlock.ShmLock(name, interop=not expected):
            assert segment(name).exists() != expected


def test_a_segment_of_the_old_form_is_waited_for_and_left_alone(name):
    segment(name).write_bytes(b"\x01" * 16)
    lock = shmlock.ShmLock(name, interop=True)
    assert not lock.acquire(timeout=False)
    assert not lock.acquire(timeout=0.2)
    other = shmlock.ShmLock(name)
    assert other.acquire(timeout=False), "nothing of ours is held after the timeout"
    other.release()
    assert segment(name).read_bytes() == b"\x01" * 16
    segment(name).unlink()
    with lock.lock(timeout=30) as acquired:
        assert acquired


def test_a_release_removes_no_segment_of_another_owner(name):
    lock = shmlock.ShmLock(name, interop=True)
    assert lock.acquire()
    segment(name).unlink()
    segment(name).write_bytes(b"\x02" * 16)
    assert lock.release()
    assert segment(name).read_bytes() == b"\x02" * 16
    segment(name).unlink()


@pytest.mark.parametrize("cleaner", ["waiter", "opener", "try"])
def test_what_a_killed_owner_left_in_the_old_form_is_removed(name, child, cleaner):
    kept = shmlock.ShmLock(name)  # the lock's file stays
    assert not kept.is_locked()
    owner = child(NEW_HOLDER, name)
    uuid = owner.line()
    if cleaner == "waiter":
        waiter = child(NEW_HOLDER, name)
        until(lambda: "has waiters" in kept.status())
    owner.kill()
    if cleaner == "waiter":
        waiter.line()
        assert segment(name).exists(), "its own"
        waiter.say()
        waiter.line("released")
        assert not segment(name).exists()
        with kept:
            kept.declare_consistent()
        return
    assert segment(name).exists()
    lock = shmlock.ShmLock(name, interop=True)
    if cleaner == "opener":
        assert not segment(name).exists(), "making the object is enough"
        assert lock.acquire()
    else:
        assert lock.acquire(timeout=False)
    assert lock.recovered is not None
    lock.declare_consistent()
    assert lock.debug_get_uuid_of_locking_lock() == lock.uuid != uuid
    assert lock.release()
    assert not segment(name).exists()


def test_a_living_owners_segment_is_not_removed_by_an_opener(name, child):
    owner = child(NEW_HOLDER, name)
    owner.line()
    lock = shmlock.ShmLock(name, interop=True)
    assert segment(name).exists()
    assert not lock.acquire(timeout=False)
    owner.say()
    owner.line("released")
    assert not segment(name).exists()


def test_half_made_segments_are_named(name):
    lock = shmlock.ShmLock(name, interop=True)
    assert lock.query_for_error_after_interrupt() is None
    segment(name).write_bytes(b"")
    with pytest.raises(ShmLockValueError):
        lock.query_for_error_after_interrupt()
    assert lock.debug_get_uuid_of_locking_lock() is None
    segment(name).write_bytes(bytes(16))
    with pytest.raises(ShmLockDanglingSharedMemoryError):
        lock.query_for_error_after_interrupt()
    segment(name).unlink()
    with lock, pytest.raises(ShmLockRuntimeError):
        lock.query_for_error_after_interrupt()


def test_old_style_locks_are_in_one_directory_only(name, tmp_path):
    with pytest.raises(ShmLockValueError):
        shmlock.ShmLock(name, interop=True, directory=tmp_path)


@old_package
@both_versions
def test_an_old_owner_and_a_new_one_exclude_each_other(name, child, old):
    owner = child(OLD_HOLDER, name, PYTHONPATH=old)
    owner.line("waiting")
    uuid = owner.line()
    lock = shmlock.ShmLock(name, interop=True)
    assert not lock.acquire(timeout=False)
    assert not lock.acquire(timeout=0.1)
    assert lock.debug_get_uuid_of_locking_lock() == uuid
    owner.say()
    owner.line("released")
    assert lock.acquire(timeout=30)
    second = child(OLD_HOLDER, name, PYTHONPATH=old)
    second.line("waiting")
    assert lock.debug_get_uuid_of_locking_lock() == lock.uuid
    assert lock.release()
    second.line()
    assert not lock.acquire(timeout=False)
    second.say()
    second.line("released")
    for one in (owner, second):
        one.say()
        assert one.end() == 0


@old_package
@both_versions
def test_with_only_old_waiters_left_they_wait_until_a_new_opener_comes(name, child, old):
    """The limit of the mode: an old program cannot know that the owner is dead."""
    owner = child(NEW_HOLDER, name)
    owner.line()
    waiter = child(OLD_HOLDER, name, PYTHONPATH=old)
    waiter.line("waiting")
    owner.kill()
    assert segment(name).exists()
    kept = shmlock.ShmLock(name)  # not in the mode: it leaves the segment alone
    with kept:
        assert segment(name).exists()
        kept.declare_consistent()
    del kept
    shmlock.ShmLock(name, interop=True)
    waiter.line()
    waiter.say()
    waiter.line("released")
    waiter.say()
    assert waiter.end() == 0


@old_package
@both_versions
def test_old_and_new_programs_count_together_while_new_ones_are_killed(
    name, child, tmp_path, old, watchdog
):
    path = tmp_path / "numbers"
    path.write_bytes(bytes(24))

    def start(**environment):
        one = child(COUNTER, name, path, **environment)
        return one, one.line()

    olds = [start(PYTHONPATH=old) for _ in range(2)]
    assert all("native" not in version for _, version in olds)
    news = [start(SHMLOCK_INTEROP="1") for _ in range(3)]
    assert all("native" in version for _, version in news)
    kills = 0
    while kills < 25:
        watchdog()
        before = struct.unpack("=Q", path.read_bytes()[:8])[0]
        until(lambda before=before: struct.unpack("=Q", path.read_bytes()[:8])[0] > before + 20)
        victim, _ = news.pop(random.randrange(len(news)))
        victim.kill()
        kills += 1
        news.append(start(SHMLOCK_INTEROP="1"))
    pathlib.Path(f"{path}.stop").touch()
    done = 0
    for one, _ in olds + news:
        word, count = one.line().split()
        assert word == "done"
        done += int(count)
        assert one.end() == 0
    first, second, deaths = struct.unpack("=QQQ", path.read_bytes())
    print(f"\n{first} sections, {kills} kills, {deaths} in the middle of a change", end="")
    assert first == second >= done
    assert not segment(name).exists()


@old_package
@both_versions
def test_a_stopped_new_owner_keeps_old_programs_out(name, child, old):
    owner = child(NEW_HOLDER, name)
    owner.line()
    owner.signal(signal.SIGSTOP)
    waiter = child(OLD_HOLDER, name, PYTHONPATH=old)
    waiter.line("waiting")
    shmlock.ShmLock(name, interop=True)
    assert segment(name).exists()
    owner.signal(signal.SIGCONT)
    owner.say()
    owner.line("released")
    waiter.line()
    waiter.say()
    waiter.line("released")
    waiter.say()
    assert waiter.end() == 0


@pytest.mark.parametrize("hostile", ["fifo", "symlink", "dangling", "directory", "socket", "big"])
def test_whatever_is_at_the_segments_path_blocks_no_call(name, hostile, tmp_path):
    import socket

    path = segment(name)
    if hostile == "fifo":
        os.mkfifo(path)
    elif hostile == "symlink":
        os.mkfifo(tmp_path / "fifo")
        path.symlink_to(tmp_path / "fifo")
    elif hostile == "dangling":
        path.symlink_to(tmp_path / "nothing")
    elif hostile == "directory":
        path.mkdir()
    elif hostile == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
    else:
        path.write_bytes(b"\x05" * 16 + b"\0shmlock-interop" + b"\x05" * 1000)
    try:
        lock = shmlock.ShmLock(name, interop=True)
        assert not lock.acquire(timeout=False)
        assert not lock.acquire(timeout=0.05)
        for look in (lock.debug_get_uuid_of_locking_lock, lock.query_for_error_after_interrupt):
            with contextlib.suppress(OSError, ShmLockValueError):
                look()
        assert os.path.lexists(path), "it is left alone"
    finally:
        path.rmdir() if hostile == "directory" else path.unlink()
    assert lock.acquire(timeout=30)
    assert lock.release()


@old_package
@both_versions
def test_an_old_owner_is_seen(name, child, old):
    owner = child(OLD_HOLDER, name, PYTHONPATH=old)
    owner.line("waiting")
    uuid = owner.line()
    lock = shmlock.ShmLock(name, interop=True)
    assert lock.is_locked()
    assert lock.holder() is None
    assert lock.debug_get_uuid_of_locking_lock() == uuid
    owner.say()
    owner.line("released")
    assert not lock.is_locked()
    owner.say()
    owner.end()
