"""What can go wrong with long-term memory."""

from memory.records import MemoryVersion


class MemoryStoreError(Exception):
    """The root of the others."""


class MemoryNotFound(MemoryStoreError):
    """There is no such record, or none that this principal may read."""


class MemoryForgotten(MemoryNotFound):
    """The record was forgotten: nothing but its id is left."""


class MemoryForbidden(MemoryStoreError):
    """The principal may read this, but not change it."""


class MemoryRefused(MemoryStoreError):
    """What is to be remembered is not allowed to be, or cannot be kept."""


class SnapshotNotFound(MemoryStoreError):
    """There is no snapshot with this name."""


class SnapshotExists(MemoryStoreError):
    """There is a snapshot with this name."""


class MemoryConflict(MemoryStoreError):
    """Somebody else was faster: the version that the write names does not stand any more."""

    def __init__(self, current: MemoryVersion) -> None:
        super().__init__(f"the record is at version {current.version} by now; read it and write again")
        self.current = current
