"""Data that processes share under a name, and its lock."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from shmlock.shmlock_config import check_text
from shmlock.shmlock_exceptions import ShmLockRuntimeError, ShmLockValueError
from shmlock.shmlock_main import ShmLock

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from shmlock.shmlock_config import Event

__all__ = ["SharedBlock"]

Data = TypeVar("Data")


class SharedBlock(Generic[Data]):
    """Data that processes share under a name, and its lock.

        class Position(ctypes.Structure):
            _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]

        block = SharedBlock("position", Position)
        with block as position:
            position.x += 1.0

    A `with` block has a private copy of the data. The copy goes back at the end of the block: what
    is written to it later reaches no other process. If an exception ends the block, or the process
    dies in it, the data stays as it was. A process that is killed in the middle of that last step
    leaves a mixture, and the next owner is told (`shm_lock.recovered`). A `SharedBlock` of Rust
    with the same name, length and schema is the same block.
    """

    @overload
    def __init__(
        self: SharedBlock[memoryview],
        name: str,
        kind: int,
        *,
        schema: str = ...,
        initial: Any = ...,
        poll_interval: float = ...,
        logger: logging.Logger | None = ...,
        exit_event: Event | None = ...,
        directory: str | os.PathLike[str] | None = ...,
        mode: int | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        kind: type[Data],
        *,
        schema: str = ...,
        initial: Any = ...,
        poll_interval: float = ...,
        logger: logging.Logger | None = ...,
        exit_event: Event | None = ...,
        directory: str | os.PathLike[str] | None = ...,
        mode: int | None = ...,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        kind: Any,
        *,
        schema: str = "",
        initial: Any = None,
        poll_interval: float = 0.05,
        logger: logging.Logger | None = None,
        exit_event: Event | None = None,
        directory: str | os.PathLike[str] | None = None,
        mode: int | None = None,
    ) -> None:
        """Opens the block of this name, and creates its data if it does not exist.

        Waits while another process creates it. The data exists while an object exists.
        ShmLockRuntimeError: its length or its schema is another.

        kind: a ctypes type without pointers, or a number of bytes. A block sees an instance of the
            type, or a writable memoryview: `numpy.frombuffer(view, dtype)` makes an array of it.
        schema: what the bytes mean, in at most 39 bytes. All users of a block give the same.
        initial: the data, if the block does not exist: a buffer of this length. Zeros by default.
        """
        length = kind if isinstance(kind, int) else _size(kind)
        if not 1 <= length <= 1 << 30:
            raise ShmLockValueError(f"a block has 1 byte to 1 GiB, not {length} bytes")
        check_text(schema, "schema")
        if isinstance(initial, int):
            raise TypeError("initial is a buffer of the block's length, not a number")
        first = bytes(length) if initial is None else bytes(initial)
        if len(first) != length:
            raise ShmLockValueError(f"initial has {len(first)} bytes of {length}")
        self._kind = kind
        self._initial = None if initial is None else first
        self._schema = schema
        self._lock = ShmLock(
            name,
            poll_interval,
            logger,
            exit_event,
            interop=False,
            directory=directory,
            mode=mode,
            _block=(first, schema),
        )
        # Both change under the lock only.
        self._is_open = False
        self._contexts: list[AbstractContextManager[Data | None]] = []

    def __repr__(self) -> str:
        return f"SharedBlock(name={self._lock.name}, uuid={self._lock.uuid})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Names the block: another process, or a copy, makes an object of its own."""
        _, (_, arguments, _) = self._lock.__reduce__()
        kept = ("poll_interval", "logger", "exit_event", "directory", "mode")
        more = {key: arguments[key] for key in kept}
        more.update(schema=self._schema, initial=self._initial)
        return partial(type(self), **more), (self._lock.name, self._kind)

    @property
    def shm_lock(self) -> ShmLock:
        """The lock of the block: its holder, `recovered`, `declare_consistent` and the rest."""
        return self._lock

    @contextmanager
    def lock(self, timeout: float | bool | None = None) -> Iterator[Data | None]:
        """Returns a context manager; its value is the data, or None if the time is over."""
        with self._lock.lock(timeout) as acquired:
            if not acquired:
                yield None
                return
            # Two copies at a time would overwrite each other.
            if self._is_open:
                raise ShmLockRuntimeError(
                    f"{self}: a `with` block of this thread has the data; use that, or leave it"
                )
            self._is_open = True
            try:
                copy = _Copy(self._kind, bytearray(self._lock._read_block()))
                yield copy.data
                self._lock._write_block(bytes(copy.memory))
            finally:
                self._is_open = False

    def __enter__(self) -> Data:
        """Acquires the lock, without a limit, and returns a private copy of the data."""
        context = self.lock()
        try:
            data = context.__enter__()
            if data is None:
                raise ShmLockRuntimeError(f"{self}: its exit event is set")
            self._contexts.append(context)
            return self._same(data)
        except BaseException as error:
            # An interrupt may come after the acquisition, too.
            if context in self._contexts:
                self._contexts.remove(context)
            context.__exit__(type(error), error, error.__traceback__)
            raise

    @staticmethod
    def _same(data: Data) -> Data:
        """Returns its argument: an interrupt before a plain `return` would leave the `try`."""
        return data

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._contexts.pop().__exit__(kind, value, traceback)


def _size(kind: Any) -> int:
    """Returns the size of a ctypes type. TypeError: it is no such type, or it has pointers."""
    if not isinstance(kind, type):
        raise TypeError(f"kind is a ctypes type or a number of bytes, not {type(kind)}")
    try:
        size = ctypes.sizeof(kind)
    except TypeError:
        raise TypeError(f"kind is a ctypes type or a number of bytes, not {kind}") from None
    if _has_pointers(kind):
        raise TypeError(
            f"{kind} has pointers, or objects of Python: other processes cannot follow them"
        )
    return size


def _has_pointers(kind: Any) -> bool:
    if issubclass(kind, (ctypes.Structure, ctypes.Union)):
        fields = (field for one in kind.__mro__ for field in one.__dict__.get("_fields_", ()))
        return any(_has_pointers(field[1]) for field in fields)
    if issubclass(kind, ctypes.Array):
        return _has_pointers(kind._type_)
    # The letters of c_void_p, c_char_p, c_wchar_p and py_object; pointers have a type, functions
    # have none.
    code = getattr(kind, "_type_", None)
    return not isinstance(code, str) or code in "PzZO"


class _Copy:
    """The private copy of one `with` block."""

    def __init__(self, kind: Any, memory: bytearray) -> None:
        self.memory = memory
        self.data: Any = memoryview(memory) if isinstance(kind, int) else kind.from_buffer(memory)
