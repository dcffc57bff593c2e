"""The exceptions of the package."""

__all__ = [
    "ShmLockDanglingSharedMemoryError",
    "ShmLockError",
    "ShmLockRuntimeError",
    "ShmLockSignalOverwriteFailed",
    "ShmLockTimeoutError",
    "ShmLockValueError",
]


class ShmLockError(Exception):
    """The base of the package's exceptions, except ShmLockValueError."""


class ShmLockRuntimeError(ShmLockError):
    """The lock cannot be used as the program asks: the message says why."""


class ShmLockValueError(ValueError):
    """An argument is refused."""


class ShmLockDanglingSharedMemoryError(ShmLockError):
    """An old-style owner has left a half-made segment. Only in the interoperation mode."""


class ShmLockTimeoutError(ShmLockError):
    """Another process did not finish closing the lock in time: it is probably stopped."""


class ShmLockSignalOverwriteFailed(ShmLockError):
    """Kept for programs that name it. Signals are blocked by a mask, which replaces no handler."""
