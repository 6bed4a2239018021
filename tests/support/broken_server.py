"""A server that breaks in the way that the path asks for."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends a reset


@asynccontextmanager
async def broken_server() -> AsyncIterator[str]:
    """The URL of a server: ``/status/N``, ``/text`` (no JSON), ``/cut``, ``/close``, ``/reset``, ``/hang``."""
    answering: set[asyncio.Task[None]] = set()

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.create_task(_answer(reader, writer)))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        await asyncio.gather(*answering)


@asynccontextmanager
async def deaf_server() -> AsyncIterator[str]:
    """The URL of a server that accepts nobody: its queue is full, so that connecting takes for ever."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


def closed_port() -> str:
    """The URL of a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split()[1].decode()
    match path.split("/")[1:]:
        case ["status", status, *_]:
            writer.write(f"HTTP/1.1 {status} Some\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        case ["text", *_]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        case ["cut", *_]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{")
        case ["reset", *_]:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        case ["hang", *_]:
            await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
