"""Recognising a full disk, whoever reports it: the way out is always the same."""

import errno

from sqlalchemy.exc import OperationalError

DISK_FULL = "the disk that holds the data folder is full; free some space and try again"

_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ENGINE = tuple(f"(os error {number})" for number in _ERRNOS)
"""How the vector engine, which is Rust, ends its messages."""


def disk_full(error: BaseException) -> bool:
    """Whether the operating system, SQLite or the embedded vector engine had no room left to write."""
    if isinstance(error, BaseExceptionGroup):
        return any(disk_full(inner) for inner in error.exceptions)
    if isinstance(error, OSError):
        return error.errno in _ERRNOS
    if isinstance(error, OperationalError):
        return "disk is full" in str(error.orig)
    return str(error).rstrip(". ").endswith(_ENGINE)
