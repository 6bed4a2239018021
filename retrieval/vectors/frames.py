"""How the service and the owner of the embedded store talk: length-prefixed frames over a socket pair.

``marshal`` is as fast as the fastest JSON for hits (0.12 ms to write and read a hundred) and, unlike JSON, carries
vectors as they are. It is no format for files or strangers; here both ends are the same interpreter, one started by the
other.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from typing import Any

_PREFIX = 4


def encode(message: tuple[Any, ...]) -> bytes:
    """A frame holding the message, which is made of None, bool, int, float, str, bytes, tuple, list and dict."""
    body = marshal.dumps(message)
    return len(body).to_bytes(_PREFIX, "little") + body


class Decoder:
    """Cuts a byte stream into messages, however the bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that ``data`` completes, in order."""
        self._buffer += data
        start = 0
        while (body := self._next(start)) is not None:
            yield marshal.loads(memoryview(self._buffer)[body])  # noqa: S302 -- our own child or parent at the other end
            start = body.stop
        del self._buffer[:start]

    def _next(self, start: int) -> slice | None:
        begin = start + _PREFIX
        end = begin + int.from_bytes(self._buffer[start:begin], "little")
        return slice(begin, end) if begin <= len(self._buffer) >= end else None
