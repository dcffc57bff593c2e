"""The uuid of a lock object."""

import uuid

__all__ = ["ShmUuid"]


class ShmUuid:
    """A random uuid, as object, bytes and text."""

    def __init__(self) -> None:
        self.uuid_ = uuid.uuid4()
        self.uuid_bytes = self.uuid_.bytes
        self.uuid_str = str(self.uuid_)

    def __repr__(self) -> str:
        return f"ShmUuid(uuid={self.uuid_str})"

    def __str__(self) -> str:
        return self.uuid_str

    @staticmethod
    def byte_to_string(byte_repr: bytes) -> str:
        """Returns the text of a uuid's 16 bytes."""
        return str(uuid.UUID(bytes=byte_repr))

    @staticmethod
    def string_to_bytes(uuid_str: str) -> bytes:
        """Returns the 16 bytes of a uuid's text."""
        return uuid.UUID(uuid_str).bytes
