"""Data beside a lock."""

import contextlib
import ctypes
import gc
import linecache
import os
import pickle
import sys
import threading

import pytest

import shmlock
from conftest import until
from shmlock.shmlock_exceptions import ShmLockRuntimeError, ShmLockValueError


class Position(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double), ("count", ctypes.c_uint64)]


def change_and_fail(position):
    position.x = 1.0
    raise ZeroDivisionError


def test_a_structure_is_shared_and_begins_with_zeros(name):
    block, other = (shmlock.SharedBlock(name, Position) for _ in range(2))
    with block as position:
        assert (position.x, position.y, position.count) == (0.0, 0.0, 0)
        position.x += 1.5
        position.count = 2**63
    with other as position:
        assert (position.x, position.count) == (1.5, 2**63)


def test_an_array_and_a_buffer_are_shared(name):
    array = shmlock.SharedBlock(name, ctypes.c_uint32 * 4)
    buffer = shmlock.SharedBlock(name, 16)
    with array as numbers:
        numbers[:] = [1, 2, 3, 4]
    with buffer.lock(timeout=1) as view:
        assert list(view.cast("I")) == [1, 2, 3, 4]
        view[0] = 7
    with array as numbers:
        assert list(numbers) == [7, 2, 3, 4]


def test_an_array_of_numpy_is_shared(name):
    numpy = pytest.importorskip("numpy")
    block = shmlock.SharedBlock(name, 8 * 1000)
    with block as view:
        array = numpy.frombuffer(view, dtype=numpy.float64)
        array += numpy.arange(1000)
    with shmlock.SharedBlock(name, 8 * 1000) as view:
        array = numpy.frombuffer(view, dtype=numpy.float64)
        assert array.sum() == 999 * 1000 / 2


def test_an_exception_leaves_the_data_as_it_was(name):
    block = shmlock.SharedBlock(name, Position)
    for enter in (lambda: block, block.lock):
        with pytest.raises(ZeroDivisionError), enter() as position:
            change_and_fail(position)
        with block as position:
            assert position.x == 0.0


def test_a_process_that_dies_in_a_block_leaves_the_data_as_it_was(name, child):
    block = shmlock.SharedBlock(name, 8, initial=b"original")
    with block as view:
        assert bytes(view) == b"original"
    one = child(
        """
        import sys, shmlock
        with shmlock.SharedBlock(sys.argv[1], 8) as view:
            view[:] = b"half-way"
            print("changed")
            sys.stdin.readline()
        """,
        name,
    )
    one.line("changed")
    one.kill()
    with block as view:
        assert block.shm_lock.recovered.dead.pid == one.pid
        assert bytes(view) == b"original"
        block.shm_lock.declare_consistent()


def test_the_first_opener_gives_the_initial_data(name):
    blocks = [shmlock.SharedBlock(name, 4, initial=bytes([i] * 4)) for i in (1, 2)]
    for block in blocks:
        with block as view:
            assert bytes(view) == bytes([1] * 4)


def test_another_length_and_another_schema_are_refused(name):
    block = shmlock.SharedBlock(name, 8, schema="one")
    for kind, schema in ((9, "one"), (8, "")):
        with pytest.raises(ShmLockRuntimeError):
            shmlock.SharedBlock(name, kind, schema=schema)
    plain = shmlock.ShmLock(name)
    with block:
        assert not plain.acquire(timeout=False), "a plain object is one more contender"
    with pytest.raises(ShmLockValueError):
        shmlock.SharedBlock(f"{name}-long", 8, schema="x" * 40)


def test_the_data_lasts_as_long_as_an_object_whichever_threads_use_it(name):
    blocks = [shmlock.SharedBlock(name, 8)]

    def write():
        with blocks[0] as view:
            view[0] = 1

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    until(lambda: not os.path.exists(f"/proc/self/task/{thread.native_id}"))
    with blocks[0] as view:
        assert view[0] == 1
    blocks.clear()
    gc.collect()
    with shmlock.SharedBlock(name, 8) as view:
        assert view[0] == 0


@pytest.mark.parametrize("kind", [0, -1, (1 << 30) + 1])
def test_a_length_that_no_block_has_is_refused(name, kind):
    with pytest.raises(ShmLockValueError):
        shmlock.SharedBlock(name, kind)


def test_initial_data_of_another_length_is_refused(name):
    with pytest.raises(ShmLockValueError):
        shmlock.SharedBlock(name, 8, initial=b"short")


def test_a_block_in_a_block_is_refused_and_the_outer_one_goes_on(name):
    block = shmlock.SharedBlock(name, 8)
    with block as view:
        with pytest.raises(ShmLockRuntimeError):
            block.__enter__()
        with pytest.raises(ShmLockRuntimeError):
            block.lock().__enter__()
        assert block.shm_lock.locked
        view[0] = 1
    with block.lock() as view:
        with pytest.raises(ShmLockRuntimeError):
            block.__enter__()
        with pytest.raises(ShmLockRuntimeError):
            block.lock().__enter__()
        assert block.shm_lock.locked
    assert not block.shm_lock.locked
    with block as view:
        assert view[0] == 1


def test_a_block_that_is_not_acquired_in_time_has_no_data(name):
    block, other = (shmlock.SharedBlock(name, 8) for _ in range(2))
    with block, other.lock(timeout=0.01) as view:
        assert view is None


def test_a_set_exit_event_keeps_the_block_away(name):
    event = threading.Event()
    block = shmlock.SharedBlock(name, 8, exit_event=event)
    event.set()
    with pytest.raises(ShmLockRuntimeError, match="exit event"):
        block.__enter__()
    event.clear()
    with block:
        pass
    assert not block.shm_lock.locked


def test_threads_count_in_a_block_and_lose_nothing(name):
    block = shmlock.SharedBlock(name, Position)

    def count():
        for _ in range(500):
            with block as position:
                position.count += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with block as position:
        assert position.count == 2000


def test_a_copy_by_pickle_is_another_object_of_the_block(name):
    block = shmlock.SharedBlock(name, Position, schema="v1")
    copy = pickle.loads(pickle.dumps(block))
    with block as position:
        position.count = 5
    with copy as position:
        assert position.count == 5


def test_an_entered_block_that_is_forgotten_releases_the_lock_and_keeps_the_data(name):
    """As after an interrupt between the acquisition and the body."""
    block, other = (shmlock.SharedBlock(name, 8) for _ in range(2))
    context = block.lock()
    context.__enter__()[0] = 7
    assert not other.shm_lock.acquire(timeout=False)
    del context
    with other.lock(timeout=30) as view:
        assert view[0] == 0


def pointers():
    class Inner(ctypes.Structure):
        _fields_ = [("text", ctypes.c_char_p)]

    class Outer(ctypes.Structure):
        _fields_ = [("number", ctypes.c_int), ("inner", Inner * 2)]

    class Either(ctypes.Union):
        _fields_ = [("number", ctypes.c_int), ("function", ctypes.CFUNCTYPE(None))]

    class Heir(Inner):
        pass

    pointer = ctypes.POINTER(ctypes.c_int)
    simple = [ctypes.c_void_p, ctypes.c_wchar_p, ctypes.py_object, pointer, pointer * 3]
    return [*simple, Inner, Outer, Either, Heir]


@pytest.mark.parametrize("kind", [*pointers(), list, "x", None, 2.0, ctypes.c_int(5)])
def test_a_type_whose_bytes_mean_nothing_to_others_is_refused(name, kind):
    with pytest.raises(TypeError):
        shmlock.SharedBlock(name, kind)


@pytest.mark.parametrize("initial", [8, True, "abcdefgh", 1.0, object()])
def test_initial_data_of_another_type_is_a_type_error(name, initial):
    with pytest.raises(TypeError):
        shmlock.SharedBlock(name, 8, initial=initial)


def test_initial_data_need_not_be_contiguous(name):
    block = shmlock.SharedBlock(name, 8, initial=memoryview(bytes(range(16)))[::2])
    with block as data:
        assert bytes(data) == bytes(range(0, 16, 2))


def test_a_view_that_is_kept_beyond_its_block_reaches_no_process(name):
    block, other = shmlock.SharedBlock(name, 8), shmlock.SharedBlock(name, 8)
    with block as kept:
        kept[0] = 1
    kept[0] = 9
    with other as data:
        assert data[0] == 1
        kept[0] = 8
    with block as data:
        assert data[0] == 1
        kept[0] = 7
    with other as data:
        assert data[0] == 1


@pytest.mark.parametrize("schema", ["\ud800", "x" * 40])
def test_a_schema_that_cannot_be_stored_is_refused(name, schema):
    with pytest.raises(ShmLockValueError):
        shmlock.SharedBlock(name, 8, schema=schema)


@pytest.mark.parametrize("form", ["block", "block.lock()"])
def test_an_interrupt_at_any_line_of_the_beginning_of_a_block_releases_the_lock(name, form):
    """A trace raises at each line of the package, and of contextlib, in turn."""
    from shmlock import shmlock_block

    block, other = shmlock.SharedBlock(name, 8), shmlock.ShmLock(name)
    files = (shmlock_block.__file__, contextlib.__file__)
    number, is_interrupted = 0, True
    while is_interrupted:
        number, count = number + 1, 0

        def trace(frame, event, _, number=number):
            nonlocal count
            if frame.f_code.co_filename not in files:
                return None
            text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            if event == "line" and text != "try:":  # which is no step: no signal comes there
                count += 1
                if count == number:
                    sys.settrace(None)
                    raise KeyboardInterrupt(f"{frame.f_code.co_name}:{frame.f_lineno}")
            return trace

        sys.settrace(trace)
        try:
            if form == "block":
                block.__enter__()
            else:
                context = block.lock()
                context.__enter__()
        except KeyboardInterrupt as interrupt:
            sys.settrace(None)
            context = None
            assert other.acquire(timeout=False), interrupt  # noqa: PT017
            other.release()
        else:
            sys.settrace(None)
            is_interrupted = False
            assert not other.acquire(timeout=False)
            block.__exit__(None, None, None) if form == "block" else context.__exit__(*[None] * 3)
    assert number > 10
