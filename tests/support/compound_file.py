"""The smallest compound file ([MS-CFB]) that readers accept, and an Outlook message in one."""

import struct

_SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_NO_STREAM = 0xFFFFFFFF
_SMALLEST = 4096  # shorter streams would live in the mini stream, which this writer does without


def compound_file(streams: dict[str, bytes]) -> bytes:
    """A compound file of version 3 with these streams in its root, each filled up with zeros to 4 KiB."""
    names = sorted(streams, key=lambda name: (len(name), name.upper()))
    bodies = [streams[name].ljust(_SMALLEST, b"\0") for name in names]
    directory_sectors = -(-(len(names) + 1) // 4)
    chains: list[int] = [_FAT, *_chain(1, directory_sectors)]
    entries = [_entry("Root Entry", 5, child=1 if names else _NO_STREAM, right=_NO_STREAM, start=_END, size=0)]
    for index, (name, body) in enumerate(zip(names, bodies, strict=True), 1):
        right = index + 1 if index < len(names) else _NO_STREAM
        entries.append(_entry(name, 2, child=_NO_STREAM, right=right, start=len(chains), size=len(body)))
        chains += _chain(len(chains), -(-len(body) // _SECTOR))
    assert len(chains) <= _SECTOR // 4, "one sector of allocation table is enough for tests"
    table = struct.pack("<128I", *chains, *[_FREE] * (128 - len(chains)))
    directory = b"".join(entries).ljust(directory_sectors * _SECTOR, b"\0")
    return _header() + table + directory + b"".join(body + bytes(-len(body) % _SECTOR) for body in bodies)


def outlook_message(*, subject: str, sender: str, body: str) -> bytes:
    """A message with its subject, sender and text ([MS-OXMSG])."""
    texts = {"001A": "IPM.Note", "0037": subject, "0C1A": sender, "1000": body}
    encoded = {tag: text.encode("utf-16-le") for tag, text in texts.items()}
    properties = b"".join(
        struct.pack("<HHIII", 0x001F, int(tag, 16), 6, len(value) + 2, 0) for tag, value in encoded.items()
    )
    streams = {f"__substg1.0_{tag}001F": value for tag, value in encoded.items()}
    return compound_file({"__properties_version1.0": bytes(32) + properties, **streams})


def _chain(start: int, sectors: int) -> list[int]:
    return [*range(start + 1, start + sectors), _END]


def _entry(name: str, kind: int, *, child: int, right: int, start: int, size: int) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    return (
        encoded.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(encoded), kind, 1, _NO_STREAM, right, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )


def _header() -> bytes:
    return (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + bytes(16)
        + struct.pack("<HHHHH6xIIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, _SMALLEST, _END, 0, _END, 0, 0)
        + struct.pack("<108I", *[_FREE] * 108)
    )
