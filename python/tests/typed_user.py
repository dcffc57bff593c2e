"""A typed program that uses the package: mypy and pyright check it, and nothing runs it."""

import asyncio
import ctypes
import logging
import threading

import shmlock
from shmlock import shmlock_exceptions
from shmlock.shmlock_config import ExitEventMock, ShmLockConfig
from shmlock.shmlock_uuid import ShmUuid


def old_names(logger: logging.Logger, stop: threading.Event) -> str | None:
    lock: shmlock.ShmLock = shmlock.ShmLock("name", 0.1, logger, stop, True, True, None)
    with lock as acquired:
        held: bool = acquired
    with lock(timeout=1) as acquired:
        held = acquired
    with lock.lock(timeout=0.5) as acquired:
        held = acquired
    if lock.acquire(timeout=False) and held:
        released: bool = lock.release(force=True)
        print(released, lock.locked, lock.acquired, lock.name, lock.poll_interval, lock.uuid)
    lock.description = "main"
    lock.use_mock_exit_event()
    lock.add_exit_handlers(register_signal=False)
    lock.query_for_error_after_interrupt()
    event = lock.get_exit_event()
    if isinstance(event, ExitEventMock):
        event.wait(1.0)
    shmlock.create_logger(name="locks", level=logging.DEBUG)
    config: type[ShmLockConfig] = ShmLockConfig
    print(config, ShmUuid().uuid_bytes)
    try:
        lock.release()
    except shmlock_exceptions.ShmLockRuntimeError as error:
        print(error)
    return lock.debug_get_uuid_of_locking_lock()


@shmlock.ShmLock("decorated").lock()
def decorated(number: int) -> int:
    return number


def new_names() -> None:
    lock = shmlock.ShmLock("name", interop=True, mode=0o660)
    with lock:
        if lock.recovered is not None:
            dead = lock.recovered.dead
            pid: int | None = None if dead is None else dead.pid
            print(pid)
            lock.declare_consistent()
        token: int | None = lock.fencing_token
        print(token, lock.status(), lock.is_locked())
    holder = lock.holder()
    if holder is not None:
        print(holder.description, holder.held_seconds, holder.pid_is_ours)


class Position(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double)]


def blocks() -> None:
    position = shmlock.SharedBlock("position", Position, schema="position v1")
    with position as here:
        here.x += 1.0
    with position.lock(timeout=1) as there:
        if there is not None:
            there.x += 1.0
    numbers = shmlock.SharedBlock("numbers", 64)
    with numbers as view:
        view[0] = 1


async def tasks() -> None:
    lock = shmlock.AsyncShmLock("name")
    async with lock:
        pass
    async with lock.lock(timeout=1) as acquired:
        print(acquired)
    if await lock.acquire(timeout=False):
        lock.release()


if __name__ == "__main__":
    print(decorated(1))
    asyncio.run(tasks())
