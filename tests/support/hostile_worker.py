"""A parsing process whose parser does what the document tells it to, good or bad."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ingest.parsing.limits import ParseLimits
from ingest.parsing.parsed import ParsedDocument
from ingest.parsing.worker import serve


def parse(data: bytes, *, name: str, media_type: str | None) -> ParsedDocument:
    if data in DEEDS:
        DEEDS[data]()
    if data == b"nest":
        return parse(data, name=name, media_type=media_type)
    if data == b"long":
        return _document("long " * 1000)
    return _document(f"{os.getpid()} {data.decode()} {sorted(os.environ)} {Path.cwd()}")


def _spin() -> None:
    while True:
        pass


def _eat() -> None:
    len(bytearray(1 << 40))


def _chatter() -> None:
    os.write(1, b'{"taken": true, "size": 0}\n' * 100)
    sys.stdout.write("more chatter")
    sys.stdout.flush()


def _connect() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def _spawn() -> None:
    subprocess.run(["true"], check=True)


def _fill_disk() -> None:
    with Path("big").open("wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))


DEEDS: dict[bytes, Callable[[], object]] = {
    b"hang": signal.pause,
    b"spin": _spin,
    b"eat": _eat,
    b"abort": os.abort,
    b"chatter": _chatter,
    b"connect": _connect,
    b"spawn": _spawn,
    b"disk": _fill_disk,
}


def _document(text: str) -> ParsedDocument:
    return ParsedDocument(text=text, title=None, media_type="text/plain", page_starts=(0,), parser="hostile 1")


if __name__ == "__main__":
    serve(parse, ParseLimits(**json.loads(sys.argv[1])))
