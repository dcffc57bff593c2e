"""The lock for tasks of asyncio."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from types import TracebackType
from typing import Any, Literal

from shmlock import _native
from shmlock._native import Holder, Recovered
from shmlock.shmlock_config import check_text
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


class _Turn:
    """Lets one task at a time wait for the lock or hold it, in the order in which they ask."""

    def __init__(self) -> None:
        # At most one entry: the acquisition whose turn it is. `setdefault` is one step, for threads
        # that run two loops by mistake, and for an interrupt.
        self._owner: dict[str, object] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[tuple[object, asyncio.Future[bool]]] = deque()

    def owner(self) -> object:
        """Returns the acquisition whose turn it is; None if there is none."""
        return self._owner.get("ask")

    async def take(self, ask: object, loop: asyncio.AbstractEventLoop, end: float | None) -> bool:
        """Waits for the turn; returns False if the time is over."""
        if self._owner.setdefault("ask", ask) is ask:
            self._loop = loop
            return True
        if self._loop is not loop and self._loop is not None and self._loop.is_running():
            raise ShmLockRuntimeError(
                "the tasks of an object run in one event loop: make an object for each loop"
            )
        if end is not None and end <= loop.time():
            return False
        future: asyncio.Future[bool] = loop.create_future()
        entry = ask, future
        timer = None if end is None else loop.call_at(end, _answer, future, False)
        self._queue.append(entry)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            if entry in self._queue:
                self._queue.remove(entry)

    def give(self, ask: object) -> None:
        """Ends the turn of an acquisition, if it has it: the task that has asked first is next."""
        if self.owner() is not ask:
            return
        while self._queue:
            following, future = self._queue.popleft()
            if not future.done() and not future.get_loop().is_closed():
                self._owner["ask"], self._loop = following, future.get_loop()
                future.set_result(True)
                return
        self._owner.clear()


def _answer(future: asyncio.Future[bool], answer: bool) -> None:
    """Ends a wait for the turn, unless it has ended."""
    if not future.done():
        future.set_result(answer)


class AsyncShmLock:
    """A lock between processes, known by its name, for tasks: waiting blocks no thread.

    The same lock as `ShmLock` of that name. An object is one contender: its tasks take turns, in
    the order in which they ask, and one of them at a time waits for the lock. A task that holds the
    lock and acquires it again waits for ever. One event loop at a time runs its tasks. There is no
    exit event: a task that is cancelled ends its wait at once, and leaves nothing behind.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{self!r} cannot be pickled: make an AsyncShmLock in each process")

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
        check_text(lock_name, "lock_name")
        # What other processes can read of it: 63 bytes.
        described = description.encode("utf-8", "backslashreplace")[:63].decode("utf-8", "ignore")
        self._name = lock_name
        self._uuid = ShmUuid()
        self._turn = _Turn()
        self._held = False
        self._task = _native.NativeTask(
            lock_name,
            float(poll_interval),
            self._uuid.uuid_bytes,
            description=described,
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
        seconds = self._task.seconds(timeout)
        end = None if seconds is None else loop.time() + seconds
        ask = object()
        try:
            if not await self._turn.take(ask, loop, end):
                return False
            self._task.begin(None if end is None else max(end - loop.time(), 0.0) or False)
            result = self._task.poll()
            self._held = await self._watch(loop) if result is None else result
            return self._held or self._end(ask)
        except BaseException:
            self._end(ask)  # an interrupt may come after the acquisition, too
            raise

    def _end(self, ask: object) -> Literal[False]:
        """Ends an acquisition that its caller does not know of, if it is its turn."""
        if self._turn.owner() is ask:
            self._held = False
            try:
                self._task.cancel()
            finally:
                self._turn.give(ask)
        return False

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
        ask = self._turn.owner()
        try:
            self._held = False
            self._task.release()
            self._turn.give(ask)
        except BaseException:
            self._end(ask)  # an interrupt may come before each step
            raise

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
