"""Keeps segments of `multiprocessing.shared_memory` from this process's resource tracker.

No lock of this package is a tracked segment. Programs use this for segments of their own, and for
the old-style segments that they attach to.
"""

from __future__ import annotations

import sys
import threading
import warnings
from multiprocessing import resource_tracker

__all__ = ["remove_shm_from_resource_tracker"]

_PATTERN_LIST: list[str] = []
_MUTEX = threading.RLock()


def _is_left_alone(name: str) -> bool:
    return any(pattern in name for pattern in _PATTERN_LIST)


def remove_shm_from_resource_tracker(pattern: str, print_warning: bool = True) -> None:
    """Makes the resource tracker leave alone each resource whose name contains `pattern`.

    An empty pattern means all of them: nothing removes forgotten segments then, and a warning says
    so, unless `print_warning` is false. For Python before 3.13, which has `track=False` instead.
    """
    if sys.version_info >= (3, 13):
        raise RuntimeError(
            "Python 3.13 and later have SharedMemory(..., track=False); the resource tracker is "
            "not changed there"
        )
    if not isinstance(pattern, str):
        raise ValueError(f"pattern must be a string, not {type(pattern)}")
    if not pattern and print_warning:
        warnings.warn(
            "an empty pattern: no forgotten shared memory is removed any more at the end of this "
            "process",
            stacklevel=2,
        )
    with _MUTEX:
        _PATTERN_LIST.append(pattern)
        if len(_PATTERN_LIST) == 1:
            tracker = resource_tracker._resource_tracker

            def register(name: str, rtype: str) -> None:
                if not _is_left_alone(name):
                    tracker.register(name, rtype)

            def unregister(name: str, rtype: str) -> None:
                if not _is_left_alone(name):
                    tracker.unregister(name, rtype)

            setattr(resource_tracker, "register", register)  # noqa: B010
            setattr(resource_tracker, "unregister", unregister)  # noqa: B010
        if not pattern:
            getattr(resource_tracker, "_CLEANUP_FUNCS").pop(  # noqa: B009
                "shared_memory", None
            )
