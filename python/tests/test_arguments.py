"""Arguments of all kinds: what is refused is named by an exception, never by a panic."""

import decimal
import fractions
import subprocess
import sys
import textwrap

import pytest

import shmlock
from shmlock.shmlock_exceptions import ShmLockRuntimeError, ShmLockValueError


class Text(str):
    def __str__(self):
        return "another"


@pytest.mark.parametrize("make", [shmlock.ShmLock, shmlock.AsyncShmLock])
@pytest.mark.parametrize("lock_name", [None, 1, b"name", True, "", "\ud800", "a\udcff"])
def test_a_name_that_is_no_text_is_refused_at_once(make, lock_name):
    with pytest.raises(ShmLockValueError):
        make(lock_name)


@pytest.mark.parametrize("interop", [False, True])
@pytest.mark.parametrize("lock_name", ["/", "a/b", "../x", "a\0b", ".", "..", "x" * 300, "é" * 130])
def test_a_name_that_no_file_has_is_refused_at_the_first_use(lock_name, interop):
    lock = shmlock.ShmLock(lock_name, interop=interop)
    for use in (lock.acquire, lock.__enter__, lock.lock().__enter__, lock.holder, lock.is_locked):
        with pytest.raises(ShmLockValueError, match="cannot be the name of a lock"):
            use()


@pytest.mark.parametrize("kind", [str, Text])
@pytest.mark.parametrize("end", ["", " é", "\U0001f512", "%s{}", "\n", "-" * 100])
def test_a_name_of_other_characters_is_a_name(name, kind, end):
    lock, other = shmlock.ShmLock(kind(name + end)), shmlock.ShmLock(f"/{name}{end}")
    with lock:
        assert not other.acquire(timeout=False), "as shm_open(3) reads it"


@pytest.mark.parametrize("interval", [None, "1", b"1", [], float("nan"), -1, 0, 0.0, 1j])
@pytest.mark.parametrize("make", [shmlock.ShmLock, shmlock.AsyncShmLock, shmlock.SharedBlock])
def test_a_poll_interval_that_is_no_time_is_refused(name, make, interval):
    arguments = (8,) if make is shmlock.SharedBlock else ()
    with pytest.raises(ShmLockValueError):
        make(name, *arguments, poll_interval=interval)


@pytest.mark.parametrize("interval", [True, float("inf"), 1e-300, 1e300, sys.float_info.max])
def test_a_poll_interval_may_be_of_any_length(name, interval):
    lock, other = shmlock.ShmLock(name, poll_interval=interval), shmlock.ShmLock(name)
    with other:
        assert not lock.acquire(timeout=0.01)
    assert lock.acquire()


@pytest.mark.parametrize(
    "timeout",
    [decimal.Decimal("0.01"), fractions.Fraction(1, 100), decimal.Decimal("nan"), 1e-320, -0.5],
)
def test_numbers_of_other_classes_are_timeouts(name, timeout):
    lock, other = shmlock.ShmLock(name), shmlock.ShmLock(name)
    with other:
        assert not lock.acquire(timeout)
        with lock.lock(timeout) as acquired:
            assert not acquired
        with lock(timeout) as acquired:
            assert not acquired


def test_scalars_of_numpy_are_timeouts(name):
    numpy = pytest.importorskip("numpy")
    lock, other = shmlock.ShmLock(name), shmlock.ShmLock(name)
    with other:
        for timeout in (numpy.float64(0.01), numpy.float32(0.01), numpy.array(0.01)):
            assert not lock.acquire(timeout)


@pytest.mark.parametrize("timeout", ["", "1", b"1", [], {}, object(), 1j, decimal.Decimal("snan")])
def test_what_is_no_number_is_no_timeout(name, timeout):
    lock = shmlock.ShmLock(name)
    for use in (lock.acquire, lock.lock):
        with pytest.raises((TypeError, ValueError)):
            use(timeout)
    assert not lock.locked


@pytest.mark.parametrize("text", ["\ud800", "x" * 1000, "é" * 40, "a\0b", None, 5, b"bytes", []])
def test_any_description_is_accepted(name, text):
    lock = shmlock.ShmLock(name)
    lock.description = text
    with lock:
        assert lock.description == text
        assert len(lock.holder().description.encode()) <= 63
    shmlock.AsyncShmLock(name, description=str(text)[:60])


@pytest.mark.parametrize("mode", [0o7777, 0, 0o400])
def test_a_mode_that_fits_no_lock_is_refused(name, mode):
    with pytest.raises(ShmLockValueError):
        shmlock.ShmLock(name, mode=mode).acquire()


def test_system_calls_that_fail_keep_their_errno(name, tmp_path):
    import errno

    (tmp_path / "file").touch()
    for directory, number in (
        (tmp_path / "none", errno.ENOENT),
        (tmp_path / "file", errno.ENOTDIR),
    ):
        with pytest.raises(OSError, match="Errno") as raised:
            shmlock.ShmLock(name, directory=directory).acquire()
        assert raised.value.errno == number


def test_an_object_that_is_initialised_twice_stays_as_it_was(name):
    lock, other = shmlock.ShmLock(name), shmlock.ShmLock(name)
    with lock:
        with pytest.raises(ShmLockRuntimeError):
            lock.__init__("another")
        assert lock.name == name
        assert lock.holder().uuid == lock.uuid
        assert not other.acquire(timeout=False)


def test_an_object_that_is_not_initialised_says_so():
    lock = shmlock.ShmLock.__new__(shmlock.ShmLock)
    for use in (lock.acquire, lock.__enter__, lock.holder, lock.lock().__enter__):
        with pytest.raises(ShmLockRuntimeError, match="initialised"):
            use()
    assert not lock.locked
    assert lock.release() is False


def test_exceptions_are_those_that_a_program_imports_after_a_reload():
    code = """
        import importlib, sys
        import shmlock
        shmlock.ShmLock("a/b")
        try:
            shmlock.ShmLock("a/b").acquire()
        except shmlock.exceptions.ShmLockValueError:
            pass
        importlib.reload(shmlock.shmlock_exceptions)
        for module in [name for name in sys.modules if name.startswith("shmlock")]:
            del sys.modules[module]
        import shmlock
        try:
            shmlock.ShmLock("a/b").acquire()
        except shmlock.exceptions.ShmLockValueError:
            print("caught")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "caught\n", done.stderr
