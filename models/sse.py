"""Server-sent events as bytes, read with as little work per event as the format allows."""

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""The most bytes that one event may have before the stream counts as broken."""


class EventTooLargeError(ValueError):
    """An event grew beyond ``MAX_EVENT_BYTES``."""


class SSEParser:
    """Cuts a byte stream into the ``data`` of its events, wherever the network cut the bytes.

    Follows the WHATWG HTML standard (section 9.2.6): lines end in LF, CRLF or CR; a comment starts with a colon; the
    ``data`` lines of an event are joined with LF; an empty line ends it. Event names, ids and retry times are ignored.
    Unlike the standard, data that the stream's end left without an empty line is kept: see ``close``.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._started = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that ``chunk`` completes.

        Raises:
            EventTooLargeError: An event has no end in sight.
        """
        buffer = self._rest + chunk if self._rest else chunk
        if not self._started:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._rest = buffer
                return []
            self._started = True
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
        held = b""
        if b"\r" in buffer:
            # A CR at the very end may be the first half of a CRLF.
            if buffer.endswith(b"\r"):
                buffer, held = buffer[:-1], b"\r"
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = buffer.split(b"\n")
        self._rest = lines.pop() + held
        events = self._read(lines)
        if len(self._rest) + self._size > MAX_EVENT_BYTES:
            msg = f"an event has more than {MAX_EVENT_BYTES} bytes"
            raise EventTooLargeError(msg)
        return events

    def close(self) -> list[bytes]:
        """What the stream's end leaves: the data of a last event whose empty line is missing."""
        line, self._rest = self._rest.removesuffix(b"\r"), b""
        return self._read([line, b""])

    def _read(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line.startswith(b" ", 5) else line[5:]
                data.append(value)
                self._size += len(value)
            elif not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                    self._size = 0
            elif line == b"data":
                data.append(b"")
        return events
