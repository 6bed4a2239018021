"""What differs between two versions of a record."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from memory.records import MemoryVersion


def differences(old: MemoryVersion, new: MemoryVersion) -> Mapping[str, tuple[Any, Any]]:
    """The fields that differ, each with what it was and what it is."""
    before, after = _fields(old), _fields(new)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _fields(version: MemoryVersion) -> dict[str, Any]:
    return {"status": version.status, **asdict(version.content), "superseded_by": version.superseded_by}
