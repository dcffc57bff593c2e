"""The lock."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

import shmlock.shmlock_exceptions as exceptions
from shmlock import _native
from shmlock._native import Holder, Recovered
from shmlock.shmlock_base_logger import ShmModuleBaseLogger, create_logger
from shmlock.shmlock_config import ExitEventMock, ShmLockConfig, check_text
from shmlock.shmlock_monkey_patch import remove_shm_from_resource_tracker
from shmlock.shmlock_uuid import ShmUuid
from shmlock.shmlock_warnings import (
    ShmLockDanglingSharedMemoryWarning,
    ShmMemoryBarrierMissingWarning,
)

if TYPE_CHECKING:
    from shmlock.shmlock_config import Event

__all__ = [
    "LOCK_SHM_SIZE",
    "ExitEventMock",
    "Holder",
    "Recovered",
    "ShmLock",
    "ShmLockConfig",
    "ShmLockDanglingSharedMemoryWarning",
    "ShmMemoryBarrierMissingWarning",
    "ShmModuleBaseLogger",
    "ShmUuid",
    "create_logger",
    "exceptions",
    "remove_shm_from_resource_tracker",
]

#: The bytes of an old-style segment: the uuid of its owner.
LOCK_SHM_SIZE = 16

#: How long a half-made old-style segment may stay as it is, from look to look, in seconds.
_LOOK_AGAIN = 0.05


def _is_event(event: object) -> bool:
    if isinstance(event, (threading.Event, ExitEventMock)):
        return True
    from multiprocessing import synchronize

    return isinstance(event, synchronize.Event)


class _LockContext(_native.NativeContext, ContextDecorator):
    """What `lock.lock(timeout)` returns: a context manager, and a decorator."""

    def _recreate_cm(self) -> _LockContext:
        lock, timeout = self._arguments
        return type(self)(lock, timeout)


class ShmLock(_native.NativeLock, ShmModuleBaseLogger):
    """A lock between processes, known by its name.

    A thread that holds the lock may acquire it again. Several threads may share an object: each of
    them is a contender of its own. If a process dies while it holds the lock, the next contender
    acquires it, and is told (`recovered`).
    """

    def __init__(
        self,
        lock_name: str,
        poll_interval: float = 0.05,
        logger: logging.Logger | None = None,
        exit_event: Event | None = None,
        memory_barrier: bool = False,
        block_signals: bool = False,
        track: bool | None = None,
        *,
        interop: bool | None = None,
        directory: str | os.PathLike[str] | None = None,
        mode: int | None = None,
        _block: tuple[bytes, str] | None = None,
    ) -> None:
        """Makes an object of the lock of this name. Acquires nothing, and does not wait.

        lock_name: the name that all processes use.
        poll_interval: how often the waiter looks, in seconds, where nothing wakes it.
        logger: gets a record at the level DEBUG of each acquisition and release.
        exit_event: while it is set, the lock is not acquired, and waits end.
        memory_barrier: accepted; the barriers are always there.
        block_signals: keeps SIGINT, SIGTERM and SIGHUP out of the acquisition and the release.
        track: accepted from Python 3.13 on, as in the old package; nothing is tracked.
        interop: shares the lock with programs of the old package as well. The default is the
            environment variable SHMLOCK_INTEROP: 1 means yes, 0 means no.
        directory: where the lock's file is, instead of /dev/shm.
        mode: the permission bits of the file, 0o600 by default.
        """
        if "_uuid" in self.__dict__:
            raise exceptions.ShmLockRuntimeError(f"{self} is initialised already")
        ShmModuleBaseLogger.__init__(self, logger=logger)
        if not isinstance(poll_interval, (float, int)) or not poll_interval > 0:
            raise exceptions.ShmLockValueError("poll_interval must be a float or int above zero")
        if not isinstance(lock_name, str):
            raise exceptions.ShmLockValueError(f"lock_name must be a string, not {type(lock_name)}")
        if not lock_name:
            raise exceptions.ShmLockValueError("lock_name must not be empty")
        check_text(lock_name, "lock_name")
        if exit_event is not None and not _is_event(exit_event):
            raise exceptions.ShmLockValueError(
                "exit_event must be a threading.Event or a multiprocessing.Event"
            )
        if track is not None and sys.version_info < (3, 13):
            raise ValueError("track is for Python 3.13 and later")
        if interop is None:
            interop = _interop_by_default()
        if interop and directory is not None:
            raise exceptions.ShmLockValueError("old-style locks are in /dev/shm only")
        self._name = lock_name
        self._poll_interval = float(poll_interval)
        self._exit_event = exit_event
        self._memory_barrier = bool(memory_barrier)
        self._block_signals = bool(block_signals)
        self._track = None if track is None else bool(track)
        self._interop = bool(interop)
        self._directory = directory
        self._mode = mode
        self._timeout: float | bool | None = None
        self._uuid = ShmUuid()
        self._pid = os.getpid()
        self._description: Any = ""
        self._setup(
            lock_name,
            self._poll_interval,
            self._uuid.uuid_bytes,
            has_event=exit_event is not None,
            has_logger=logger is not None,
            block_signals=self._block_signals,
            interop=self._interop,
            directory=None if directory is None else os.fspath(directory),
            mode=mode,
            block=_block,
        )
        self.debug("lock %s initialized", self)

    def __repr__(self) -> str:
        return f"ShmLock(name={self.name}, uuid={self.uuid}, description={self.description})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Names the lock: another process, or a copy, makes an object of its own."""
        arguments = {
            "lock_name": self._name,
            "poll_interval": self._poll_interval,
            "logger": self._logger,
            "exit_event": None if isinstance(self._exit_event, ExitEventMock) else self._exit_event,
            "memory_barrier": self._memory_barrier,
            "block_signals": self._block_signals,
            "track": self._track,
            "interop": self._interop,
            "directory": self._directory,
            "mode": self._mode,
        }
        return _reopen, (type(self), arguments, self._description)

    def __call__(self, timeout: float | bool | None = None) -> ShmLock:
        """Sets the timeout of `with` blocks of this object, and returns it: `with lock(timeout=1)`.

        It stays until the next call, as in the old package.
        """
        self._timeout = timeout
        return self

    def lock(self, timeout: float | bool | None = None) -> _LockContext:
        """Returns a context manager, whose value says whether the lock is acquired.

        The body runs in either case. The timeout is that of `acquire`.
        """
        return _LockContext(self, timeout)

    @property
    def name(self) -> str:
        """The name of the lock."""
        return self._name

    @property
    def poll_interval(self) -> float:
        """How often a waiter looks where nothing wakes it, in seconds."""
        return self._poll_interval

    @property
    def uuid(self) -> str:
        """The uuid of this object, by which `holder()` names it."""
        return self._uuid.uuid_str

    @property
    def description(self) -> Any:
        """What other processes can read of this object while it holds the lock: 63 bytes of it."""
        return self._description

    @description.setter
    def description(self, description: Any) -> None:
        self._description = description
        self._describe(str(description).encode("utf-8", "backslashreplace").decode())

    @property
    def _config(self) -> ShmLockConfig:
        return ShmLockConfig(
            name=self._name,
            poll_interval=self._poll_interval,
            exit_event=self.get_exit_event(),
            track=self._track,
            timeout=self._timeout,
            uuid=self._uuid,
            pid=self._pid,
            memory_barrier=self._memory_barrier,
            block_signals=self._block_signals,
            description=self._description,
        )

    def get_exit_event(self) -> Event:
        """Returns the event that keeps this object from the lock while it is set."""
        if self._exit_event is None:
            self._exit_event = ExitEventMock()
            self._use_event(True)
        return self._exit_event

    def use_mock_exit_event(self) -> None:
        """Replaces the exit event by one that is set through this object only."""
        if not isinstance(self._exit_event, ExitEventMock):
            self._exit_event = ExitEventMock()
            self._use_event(True)

    def debug_get_uuid_of_locking_lock(self) -> str | None:
        """Returns the uuid of the object that holds the lock; None if it is free.

        Changes nothing. `holder()` says more.
        """
        if self._segment is not None:
            content = self._read_segment()
            whole = content is not None and len(content) >= LOCK_SHM_SIZE
            return ShmUuid.byte_to_string(content[:LOCK_SHM_SIZE]) if content and whole else None
        holder = self.holder()
        return None if holder is None else holder.uuid

    def query_for_error_after_interrupt(self, number_of_checks: int = 3) -> None:
        """Raises an exception if an old-style owner has left something half-made.

        That can be in the interoperation mode only. ShmLockRuntimeError: this thread holds the
        lock. ShmLockValueError: an empty segment. ShmLockDanglingSharedMemoryError: a segment whose
        owner has not written its uuid for `number_of_checks` looks.
        """
        if self.locked:
            raise exceptions.ShmLockRuntimeError(
                f"{self} is held by this thread: release it before the query"
            )
        if self._segment is None:
            return
        for _ in range(number_of_checks):
            content = self._read_segment()
            if content is None:
                return
            if not content:
                raise exceptions.ShmLockValueError(
                    f"{self._segment} is empty: an old-style owner was interrupted. No process can "
                    "acquire the lock until it is removed"
                )
            if content[:LOCK_SHM_SIZE] != bytes(LOCK_SHM_SIZE):
                return
            time.sleep(_LOOK_AGAIN)
        raise exceptions.ShmLockDanglingSharedMemoryError(
            f"{self._segment} names no owner: an old-style owner was probably interrupted. No "
            "process can acquire the lock until it is removed"
        )

    def add_exit_handlers(
        self,
        register_atexit: bool = True,
        register_signal: bool = True,
        register_weakref: bool = True,
        register_console_handler: bool = True,
        call_gc: bool = True,
    ) -> None:
        """Releases the locks of this process when it exits, or dies by a signal.

        Not needed to keep a lock usable: a dead owner's lock is recovered. It spares the next owner
        the moment until the kernel has freed this process's memory. The handlers are the process's,
        and stay. A signal with a handler of the program keeps it: SIGINT raises KeyboardInterrupt,
        and `with` blocks release the lock.

        register_atexit: at the end of the process.
        register_signal: when SIGINT, SIGTERM or SIGHUP ends the process.
        register_weakref, register_console_handler: accepted; an object that is gone has released
            the lock, and there is no Windows here.
        call_gc: collects garbage once, as the old package does.
        """
        _native.install_exit_handlers(bool(register_atexit), bool(register_signal))
        if call_gc:
            gc.collect()


def _interop_by_default() -> bool:
    """Returns what SHMLOCK_INTEROP says. A value that is misread would lose the exclusion."""
    value = os.environ.get("SHMLOCK_INTEROP", "0")
    if value not in ("", "0", "1"):
        raise exceptions.ShmLockValueError(f"SHMLOCK_INTEROP is 0 or 1, not {value!r}")
    return value == "1"


def _reopen(kind: type[ShmLock], arguments: dict[str, Any], description: Any) -> ShmLock:
    if sys.version_info < (3, 13):
        arguments["track"] = None
    lock = kind(**arguments)
    if description != "":
        lock.description = description
    return lock
