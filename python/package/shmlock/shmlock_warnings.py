"""The warnings of the package. None of them is issued: their causes do not exist here."""

__all__ = ["ShmLockDanglingSharedMemoryWarning", "ShmMemoryBarrierMissingWarning"]


class ShmLockDanglingSharedMemoryWarning(ResourceWarning):
    """An interrupted acquisition may have left something behind. It leaves nothing here."""


class ShmMemoryBarrierMissingWarning(UserWarning):
    """Memory barriers were asked for and are missing. They are always there here."""
