"""Where documents come from: files, folders, globs, URLs and standard input, as the command line names them."""

import asyncio
import glob
import os
import re
import stat
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ingest.fetching import Fetcher, FetchFailed
from ingest.items import UNKNOWN_TYPE, Item, Unreadable

STDIN = "-"
STDIN_URI = "stdin:"

_URL = re.compile(r"https?://", re.IGNORECASE)
_MAGIC = re.compile(r"[*?\[]")
_AT_ONCE = 256
_STDIN_BYTES = 100 << 20


@dataclass(frozen=True, slots=True)
class PathRoots:
    """The files, folders, globs and URLs that a run was given."""

    paths: tuple[str, ...]

    def covers(self, uri: str) -> bool:
        """Whether the run would have found a document of this URI, were it still there."""
        return any(pattern.fullmatch(uri) for pattern in map(_covered, self.paths))


async def read_paths(
    paths: Sequence[str], *, fetcher: Fetcher | None = None, stdin: BinaryIO | None = None
) -> AsyncIterator[Item | Unreadable]:
    """The documents behind what a command line names, in order.

    Folders are read recursively, without what is hidden; a folder that is linked into itself is read once. What cannot
    be read comes as `Unreadable`; nothing is raised.

    Args:
        paths: Files, folders, globs (``**`` for any depth), ``http(s)`` URLs, and ``-`` for standard input.
        fetcher: How URLs are fetched; by default only from public addresses.
        stdin: What ``-`` reads.
    """
    for path in paths:
        if path == STDIN:
            yield await asyncio.to_thread(_read_stdin, stdin or sys.stdin.buffer)
        elif _URL.match(path):
            yield await _fetch(fetcher or Fetcher(), path)
        else:
            files = _walk_path(path)
            while some := await asyncio.to_thread(lambda files=files: list(islice(files, _AT_ONCE))):  # type: ignore[misc]
                for found in some:
                    yield found


def file_item(path: Path) -> Item:
    """The item for a file; its URI is the file's absolute place, links left as they are."""
    # A name is bytes; those that are no UTF-8 are in the URI alone.
    name = os.fsencode(path.name).decode(errors="ignore")
    return Item(uri=_file_uri(path), name=name, path=path)


def _file_uri(path: Path) -> str:
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100 - Path.resolve() would follow links


def _walk_path(path: str) -> Iterator[Item | Unreadable]:
    if os.path.lexists(path) or not _MAGIC.search(path):
        yield from _Walk().visit(Path(path))
        return
    walk, matches = _Walk(), 0
    for match in glob.iglob(path, recursive=True):  # noqa: PTH207 - pathlib's does not leave out hidden files
        matches += 1
        yield from walk.visit(Path(match))
    if not matches:
        yield Unreadable(uri=_file_uri(Path(path)), code="not_found", reason=f"nothing matches {path}")


class _Walk:
    """One walk: what was visited is not visited again, by whatever name."""

    def __init__(self) -> None:
        self._visited: set[tuple[int, int]] = set()

    def visit(self, path: Path) -> Iterator[Item | Unreadable]:
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                yield from self._folder(path, (status.st_dev, status.st_ino))
            elif stat.S_ISREG(status.st_mode):
                yield file_item(path)
            else:
                yield _refused(path, "unsupported", "it is neither a file nor a folder")
        except FileNotFoundError:
            yield _refused(path, "not_found", "there is no such file or folder", whole=True)
        except OSError as error:
            yield _refused(path, "unreadable", error.strerror or str(error), whole=True)

    def _folder(self, folder: Path, identity: tuple[int, int]) -> Iterator[Item | Unreadable]:
        if identity in self._visited:
            return
        self._visited.add(identity)
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are all that is needed
            if not name.startswith("."):
                yield from self.visit(folder / name)


def _refused(path: Path, code: str, reason: str, *, whole: bool = False) -> Unreadable:
    return Unreadable(uri=_file_uri(path), code=code, reason=reason, whole=whole)


def _read_stdin(stdin: BinaryIO) -> Item | Unreadable:
    data = stdin.read(_STDIN_BYTES + 1)
    if len(data) > _STDIN_BYTES:
        return Unreadable(uri=STDIN_URI, code="too_large", reason=f"standard input has more than {_STDIN_BYTES} bytes")
    return Item(uri=STDIN_URI, name="stdin", data=data)


async def _fetch(fetcher: Fetcher, url: str) -> Item | Unreadable:
    try:
        fetched = await fetcher.fetch(url)
    except FetchFailed as error:
        return Unreadable(uri=url, code=error.code, reason=str(error))
    media_type = None if fetched.media_type == UNKNOWN_TYPE else fetched.media_type
    return Item(uri=url, name=fetched.name, data=fetched.data, media_type=media_type, remote=True)


def _covered(path: str) -> re.Pattern[str]:
    """URIs of the documents that a path stands for."""
    if path == STDIN or _URL.match(path):
        return re.compile(re.escape(STDIN_URI if path == STDIN else path))
    if os.path.lexists(path) or not _MAGIC.search(path):
        return re.compile(re.escape(_file_uri(Path(path))) + r"(?:[/#].*)?", re.DOTALL)
    parts = re.split(r"(\*\*/|\*|\?|\[[^\]]*\])", os.path.abspath(path))  # noqa: PTH100
    wild = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", "": ""}
    # A class of characters may be percent-encoded in the URI: anything in its place is near enough.
    body = "".join(wild.get(part) or ("[^/]+" if part.startswith("[") else _quoted(part)) for part in parts)
    return re.compile("file://" + body + "(?:[/#].*)?", re.DOTALL)


def _quoted(part: str) -> str:
    from urllib.parse import quote

    return re.escape(quote(part))
