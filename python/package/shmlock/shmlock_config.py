"""The settings of a lock object, and the event of a lock that was given none."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmlock import _native
from shmlock.shmlock_exceptions import ShmLockValueError
from shmlock.shmlock_uuid import ShmUuid

if TYPE_CHECKING:
    import multiprocessing.synchronize

__all__ = ["ExitEventMock", "ShmLockConfig"]


def check_text(text: str, argument: str) -> None:
    """Refuses a text that has no UTF-8, and so cannot be shared with other programs."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ShmLockValueError(f"{argument} {text!a} has no UTF-8: {error}") from error


class ExitEventMock(_native.Ringer):
    """Stands for the exit event of a lock that was given none.

    Setting it has the effect of a real event on this lock. Its own wait is a sleep.
    """

    def __init__(self) -> None:
        self._set = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns how to make a copy: another event, in the same state."""
        return type(self), (), {"_set": self._set}

    def is_set(self) -> bool:
        """Returns whether it is set."""
        return self._set

    def set(self) -> None:
        """Sets it: the lock is not acquired any more, and its waits end."""
        self._set = True
        self.release()

    def clear(self) -> None:
        """Clears it: the lock can be acquired again."""
        self._set = False

    def wait(self, sleep_time: float) -> None:
        """Sleeps, unless it is set. Does not notice that it is set meanwhile."""
        if not self._set:
            time.sleep(sleep_time)


if TYPE_CHECKING:
    Event = threading.Event | multiprocessing.synchronize.Event | ExitEventMock


@dataclass
class ShmLockConfig:
    """The settings of a lock object."""

    name: str
    poll_interval: float
    exit_event: Event
    track: bool | None
    timeout: float | None
    uuid: ShmUuid
    pid: int
    memory_barrier: bool
    block_signals: bool
    description: str = ""
