"""One owner per data folder: who holds it, and where the others find him.

The owner holds an advisory lock for as long as it lives (the kernel lets go of it even after kill -9), and a service
writes its address beside it, so that the command line can go through HTTP instead. A token that is written with it, new
each time, lets in whoever may read the folder: he could read everything in it anyway.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_LOCK = "owner.lock"
_ADDRESS = "service.json"


class DataFolderError(Exception):
    """The data folder cannot be used; the message says why and what to do."""


class DataFolderInUse(DataFolderError):
    """Another process holds the data folder.

    Attributes:
        service: The service that it is, or None when it is none (or not ready yet).
    """

    def __init__(self, message: str, service: "RunningService | None") -> None:
        super().__init__(message)
        self.service = service


@dataclass(frozen=True, slots=True)
class RunningService:
    """Where a data folder is served, and the token that opens it for the folder's owner."""

    url: str
    token: str = field(repr=False)


class DataFolder:
    """The data folder, held by this process.

    Attributes:
        token: What the service that announces itself must take for the owner's word.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.token = secrets.token_hex(32)

    def announce(self, url: str) -> None:
        """Tell where this process serves."""
        partial = self.path / f".{_ADDRESS}.{os.getpid()}"
        partial.unlink(missing_ok=True)
        # Nobody else may read it, not even for a moment.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"url": url, "pid": os.getpid(), "token": self.token}, file)
        partial.replace(self.path / _ADDRESS)


@contextmanager
def hold(path: Path) -> Iterator[DataFolder]:
    """Hold the data folder, making it when it is not there.

    Raises:
        DataFolderInUse: Another process holds it.
        DataFolderError: It cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataFolderError(
            f"cannot use the data folder {path}: {error.strerror}; name another one with --data-dir"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            service = _announced(path)
            at = f" (a service at {service.url})" if service else ""
            message = f"the data folder {path} is held by another process{at}; stop it, or name another with --data-dir"
            raise DataFolderInUse(message, service) from error
        (path / _ADDRESS).unlink(missing_ok=True)
        yield DataFolder(path)
        (path / _ADDRESS).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _announced(path: Path) -> RunningService | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((path / _ADDRESS).read_text())
        return RunningService(str(found["url"]), str(found["token"]))
    return None
