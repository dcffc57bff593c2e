"""Arguments of all kinds: an exception names the refused one; nothing panics."""

import decimal
import errno
import fractions
import pickle
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
def test_an_object_that_is_no_number_is_no_timeout(name, timeout):
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


#: Fails to open a lock, where `pathlib` cannot be imported: no descriptor is left, for example.
WITHOUT_PATHLIB = """
    import sys, shmlock
    sys.modules["pathlib"] = None
    try:
        shmlock.ShmLock(sys.argv[1], directory="/nowhere").acquire()
    except OSError as error:
        print(error.errno, type(error.filename).__name__, error.filename)
"""


def test_a_system_call_that_fails_is_an_oserror_without_pathlib(name, child):
    line = child(WITHOUT_PATHLIB, name).line()
    assert line.startswith(f"{errno.ENOENT} str /nowhere"), line


def test_texts_name_arguments_of_python(name):
    with pytest.raises(OSError, match="the argument directory"):
        shmlock.ShmLock(name, directory="/nowhere").acquire()


@pytest.mark.parametrize("value", ["yes", "true", "2", " 1"])
def test_an_environment_that_is_no_switch_is_refused(name, monkeypatch, value):
    monkeypatch.setenv("SHMLOCK_INTEROP", value)
    with pytest.raises(ShmLockValueError, match="SHMLOCK_INTEROP is 0 or 1"):
        shmlock.ShmLock(name)


@pytest.mark.parametrize("value", ["", "0", "1"])
def test_an_environment_that_is_a_switch_is_read(name, monkeypatch, value):
    monkeypatch.setenv("SHMLOCK_INTEROP", value)
    assert (shmlock.ShmLock(name)._segment is not None) == (value == "1")


@pytest.mark.parametrize("kind", [int, float, list])
def test_a_type_that_is_none_of_ctypes_is_no_block(name, kind):
    with pytest.raises(TypeError, match="a ctypes type or a number of bytes"):
        shmlock.SharedBlock(name, kind)


def test_a_lock_for_tasks_cannot_be_pickled_and_says_so(name):
    with pytest.raises(TypeError, match="in each process"):
        pickle.dumps(shmlock.AsyncShmLock(name))


@pytest.mark.parametrize("method", ["acquire", "release", "is_locked", "holder", "status"])
def test_methods_have_a_text_for_help(method):
    assert getattr(shmlock.ShmLock, method).__doc__
