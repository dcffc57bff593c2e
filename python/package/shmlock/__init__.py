"""A lock between processes, known only by its name.

    import shmlock

    lock = shmlock.ShmLock("conveyor")
    with lock:
        ...  # the critical section

Takes the place of the Python package of the same name, versions 4.4.4 and 5.0.1: its names,
arguments and exceptions are here. Underneath is the Rust library `shmlock`: waiting on a futex,
recovery from killed owners, and locks shared with programs in Rust, C and the shell.
"""

try:
    from shmlock import _native  # noqa: F401
except ImportError as error:
    if "interpreter" in str(error):
        raise ImportError(
            "shmlock is for one interpreter of a process: a second one, such as a subinterpreter, "
            "cannot use it"
        ) from error
    raise

from shmlock import (
    shmlock_async,
    shmlock_base_logger,
    shmlock_block,
    shmlock_config,
    shmlock_exceptions,
    shmlock_main,
    shmlock_monkey_patch,
    shmlock_uuid,
    shmlock_warnings,
)
from shmlock.shmlock_async import AsyncShmLock
from shmlock.shmlock_block import SharedBlock
from shmlock.shmlock_main import (
    Holder,
    Recovered,
    ShmLock,
    create_logger,
    exceptions,
    remove_shm_from_resource_tracker,
)

__all__ = [
    "AsyncShmLock",
    "Holder",
    "Recovered",
    "SharedBlock",
    "ShmLock",
    "create_logger",
    "exceptions",
    "remove_shm_from_resource_tracker",
    "shmlock_async",
    "shmlock_base_logger",
    "shmlock_block",
    "shmlock_config",
    "shmlock_exceptions",
    "shmlock_main",
    "shmlock_monkey_patch",
    "shmlock_uuid",
    "shmlock_warnings",
]

# The version of the interface, and behind the plus sign that of this implementation.
__version__ = "5.0.1+native.0.1.0"
