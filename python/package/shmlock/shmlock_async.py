"""The lock for tasks of asyncio."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType

from shmlock import _native
from shmlock._native import Holder, Recovered
from shmlock.shmlock_exceptions import ShmLockRuntimeError, ShmLockValueError
from shmlock.shmlock_uuid import ShmUuid

__all__ = ["AsyncShmLock"]


class _AsyncLockContext:
    """What `lock.lock(timeout)` returns: an asynchronous context manager."""

    def __init__(self, lock: AsyncShmLock, timeout: float | bool | None) -> None:
        self._lock = lock
        self._timeout = timeout
        self._acquired = False

    async def __aenter__(self) -> bool:
        self._acquired = await self._lock.acquire(self._timeout)
        return self._acquired

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._acquired:
            self._acquired = False
            self._lock.release()


class AsyncShmLock:
    """A lock between processes, known by its name, for tasks: waiting blocks no thread.

    The same lock as `ShmLock` of that name. An object is one contender: its tasks take turns, in
    the order in which they ask, and one of them at a time waits for the lock. A task that holds the
    lock and acquires it again waits for ever. The tasks of an object run in one event loop.
    """

    def __init__(
        self,
        lock_name: str,
        poll_interval: float = 0.05,
        *,
        description: str = "",
        directory: str | os.PathLike[str] | None = None,
        mode: int | None = None,
    ) -> None:
        """Opens the lock. Waits only while another process is just closing it."""
        if not isinstance(lock_name, str) or not lock_name:
            raise ShmLockValueError("lock_name must be a string that is not empty")
        if not isinstance(poll_interval, (float, int)) or not poll_interval > 0:
            raise ShmLockValueError("poll_interval must be a float or int above zero")
        self._name = lock_name
        self._uuid = ShmUuid()
        self._turn = asyncio.Lock()
        self._held = False
        self._task = _native.NativeTask(
            lock_name,
            float(poll_interval),
            self._uuid.uuid_bytes,
            description=description,
            directory=None if directory is None else os.fspath(directory),
            mode=mode,
        )

    def __repr__(self) -> str:
        return f"AsyncShmLock(name={self._name}, uuid={self.uuid})"

    async def acquire(self, timeout: float | bool | None = None) -> bool:
        """Acquires the lock; returns False if the time is over.

        `timeout` is that of `ShmLock.acquire`: None and 0 are no limit, False is one try. A task
        that is cancelled meanwhile leaves nothing behind.
        """
        loop = asyncio.get_running_loop()
        end = None if not timeout else loop.time() + float(timeout)
        if not await self._take_turn(timeout, end):
            return False
        try:
            left = timeout if end is None else max(end - loop.time(), 0.0) or False
            self._held = await self._wait(loop, left)
        finally:
            if not self._held:
                self._turn.release()
        return self._held

    async def _take_turn(self, timeout: float | bool | None, end: float | None) -> bool:
        """Waits until no other task of this object waits for the lock or holds it."""
        if not self._turn.locked():
            return await self._turn.acquire()
        if timeout is False:
            return False
        if end is None:
            return await self._turn.acquire()
        left = end - asyncio.get_running_loop().time()
        try:
            return await asyncio.wait_for(self._turn.acquire(), left)
        except asyncio.TimeoutError:
            return False

    async def _wait(self, loop: asyncio.AbstractEventLoop, timeout: float | bool | None) -> bool:
        """Waits for the lock."""
        self._task.begin(timeout)
        acquired = False
        try:
            result = self._task.poll()
            if result is None:
                result = await self._watch(loop)
            acquired = result
        finally:
            if not acquired:
                self._task.cancel()
        return acquired

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Polls the wait each time its descriptor is readable."""
        woken = asyncio.Event()
        loop.add_reader(self._task.fileno(), woken.set)
        try:
            while True:
                await woken.wait()
                woken.clear()
                result = self._task.poll()
                if result is not None:
                    return result
        finally:
            loop.remove_reader(self._task.fileno())

    def release(self) -> None:
        """Releases the lock. Never blocks. ShmLockRuntimeError: no task of this object holds it."""
        if not self._held:
            raise ShmLockRuntimeError(f"{self} is not held")
        self._held = False
        self._turn.release()
        self._task.release()

    def lock(self, timeout: float | bool | None = None) -> _AsyncLockContext:
        """Returns an asynchronous context manager; its value says whether the lock is acquired."""
        return _AsyncLockContext(self, timeout)

    async def __aenter__(self) -> AsyncShmLock:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def name(self) -> str:
        """The name of the lock."""
        return self._name

    @property
    def uuid(self) -> str:
        """The uuid of this object, by which `holder()` names it."""
        return self._uuid.uuid_str

    @property
    def locked(self) -> bool:
        """True if a task of this object holds the lock."""
        return self._held and self._task.locked()

    def holder(self) -> Holder | None:
        """Returns the holder of the lock; None if it is free. Changes nothing."""
        return self._task.holder()

    @property
    def recovered(self) -> Recovered | None:
        """What is known of an owner's death, while the lock is held."""
        return self._task.recovered

    def declare_consistent(self) -> None:
        """Declares the protected data consistent: later owners are not told of the death."""
        self._task.declare_consistent()

    @property
    def fencing_token(self) -> int | None:
        """A number that grows with every acquisition of the lock, while it is held."""
        return self._task.fencing_token
