"""Parsing in processes that may be killed: a hostile document costs one error, never the service."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import ingest
from ingest.parsing.limits import ParseLimits
from ingest.parsing.parsed import ParsedDocument, ParseError

_HEADER_LIMIT = 8 << 20
_CHATTER_READ = 4096
_START_SECONDS = 60.0
_EXIT_SECONDS = 5.0
_MOST_BYTES_A_CHARACTER = 4  # in UTF-8
_BROKEN = (EOFError, OSError, ValueError, LookupError, TypeError)  # what a dead or a lying process leaves to read


class Parser:
    """A pool of parsing processes, started when first needed; each takes one document at a time.

    Safe to use from many tasks of one event loop. A process that hangs, outgrows its memory or dies is replaced.

    Args:
        processes: How many documents are parsed at once.
        limits: What one document may cost.
        worker: The module that is run, ``python -m``; it must call `ingest.parsing.worker.serve`.
    """

    def __init__(
        self, *, processes: int = 2, limits: ParseLimits | None = None, worker: str = "ingest.parsing.worker"
    ) -> None:
        self._limits = limits or ParseLimits()
        self._worker = worker
        self._slots = asyncio.Semaphore(processes)
        self._idle: list[_ParsingProcess] = []
        self._folder: str | None = None
        self._closed = False

    async def parse(self, data: bytes | Path, *, name: str, media_type: str | None = None) -> ParsedDocument:
        """The text of a document.

        Args:
            data: The document's bytes, or the file to read them from.
            name: What the document is called; breaks ties between formats that look alike.
            media_type: What the sender said it is; believed only where the content does not contradict.

        Raises:
            ParseError: there is no text in it, it cannot be read, or it costs more than it may.
            OSError: the file cannot be opened.
            RuntimeError: the parser is closed, or its processes do not start.
        """
        request = {"name": name, "media_type": media_type}
        async with self._slots:
            body = data if isinstance(data, bytes) else await asyncio.to_thread(_read, data, self._limits.input_bytes)
            self._check_size(len(body))
            while True:
                with suppress(_DiedIdleError):
                    return await self._parse_once(request, body)

    async def aclose(self) -> None:
        """Kill the processes and remove their scratch folder."""
        self._closed = True
        while self._idle:
            await self._idle.pop().kill()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _check_size(self, size: int) -> None:
        if size == 0:
            raise ParseError("empty", "the file is empty")
        if size > self._limits.input_bytes:
            raise ParseError(
                "too_large", f"it is larger than {self._limits.input_bytes:,} bytes: split it, or raise the limit"
            )

    async def _parse_once(self, request: Mapping[str, Any], body: bytes) -> ParsedDocument:
        async with self._process() as process:
            answer, text = await process.ask(request, body)
        if "error" in answer:
            raise ParseError(answer["error"], answer["message"])
        fields = answer["parsed"]
        return ParsedDocument(text=text.decode(), **{**fields, "page_starts": tuple(fields["page_starts"])})

    @asynccontextmanager
    async def _process(self) -> AsyncIterator["_ParsingProcess"]:
        """A process of one's own; back into the pool when it came through unharmed and still small."""
        process = self._idle.pop() if self._idle else await self._start()
        try:
            yield process
        except BaseException:
            await asyncio.shield(process.kill())
            raise
        if process.is_worn or self._closed:
            await asyncio.shield(process.kill())
        else:
            self._idle.append(process)

    async def _start(self) -> "_ParsingProcess":
        if self._closed:
            raise RuntimeError("the parser is closed")
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="cairn-parsing-")
        return await _ParsingProcess.start(self._worker, self._limits, self._folder)


class _DiedIdleError(Exception):
    """The process was gone before it took the document, so another one may have it."""


class _ParsingProcess:
    """One process, and the conversation with it."""

    def __init__(self, process: Process, limits: ParseLimits, chatter: IO[bytes]) -> None:
        self._process = process
        self._limits = limits
        self._chatter = chatter
        self._documents = 0
        self._resident = 0

    @classmethod
    async def start(cls, worker: str, limits: ParseLimits, folder: str) -> Self:
        chatter = tempfile.TemporaryFile(dir=folder, mode="ab+")  # noqa: SIM115 - closed by kill()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", worker, json.dumps(asdict(limits))),
            stdin=PIPE,
            stdout=PIPE,
            stderr=chatter,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
            limit=_HEADER_LIMIT,
        )
        return cls(process, limits, chatter)

    @property
    def is_worn(self) -> bool:
        return self._documents >= self._limits.documents_per_process or self._resident > self._limits.resident_bytes

    async def ask(self, request: Mapping[str, Any], body: bytes) -> tuple[Mapping[str, Any], bytes]:
        """Hand over one document and wait for its text or its error."""
        try:
            await self._hand_over(request, body)
            self._documents += 1
            async with asyncio.timeout(self._limits.seconds):
                answer, text = await self._receive()
            self._resident = answer["resident"]
        except TimeoutError:
            raise ParseError("timeout", f"it took longer than {self._limits.seconds:g} s to parse") from None
        except _BROKEN:
            raise await self._cause_of_death() from None
        return answer, text

    async def kill(self) -> None:
        """End the process and whatever it started; returns when it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._chatter.close()

    async def _hand_over(self, request: Mapping[str, Any], body: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was started with a pipe
        try:
            async with asyncio.timeout(_START_SECONDS):
                self._process.stdin.write(json.dumps({**request, "size": len(body)}).encode() + b"\n")
                self._process.stdin.write(body)
                await self._process.stdin.drain()
                await self._receive()
        except _BROKEN:
            if self._documents:
                raise _DiedIdleError from None
            last_words = await self._last_words()
            raise RuntimeError(f"the parsing process does not start: {last_words}") from None

    async def _receive(self) -> tuple[Mapping[str, Any], bytes]:
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        header = json.loads(line)
        if header["size"] > self._limits.output_chars * _MOST_BYTES_A_CHARACTER:
            raise ValueError("the answer is larger than any text may be")
        return header, await self._process.stdout.readexactly(header["size"])

    async def _cause_of_death(self) -> ParseError:
        """Read the reason from the exit status and from the last words."""
        last_words = await self._last_words()
        status = self._process.returncode
        if status == -signal.SIGXCPU:
            return ParseError("timeout", "it took too much processor time to parse")
        if status == -signal.SIGKILL or "memory allocation" in last_words or "MemoryError" in last_words:
            return ParseError("memory", "it needs more memory to parse than one document may use")
        return ParseError("corrupt", f"it made the parser crash (status {status}): is it damaged?")

    async def _last_words(self) -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()
        self._chatter.seek(0)
        return self._chatter.read(_CHATTER_READ).decode(errors="replace").strip()


def _environment(folder: str) -> dict[str, str]:
    """As little as a parser needs: no keys, no proxies, and a home that goes away."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": folder,
        "TMPDIR": folder,
        "PYTHONPATH": os.pathsep.join(_import_path()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _import_path() -> list[str]:
    """Where this code and its libraries are found, wherever the caller stands."""
    home = str(Path(next(iter(ingest.__path__))).parent)
    return [home, *(entry for entry in sys.path if entry and entry != home and Path(entry).is_absolute())]


def _read(path: Path, limit: int) -> bytes:
    """The file's bytes, and one more than the limit when it is larger."""
    if not path.is_file():  # a pipe or a device would never end
        raise FileNotFoundError(f"{path} is not a file")
    with path.open("rb") as file:
        return file.read(limit + 1)
