"""The processes of a replay: the shop's back end, and ``cairn serve``, once or more, killed and started at will."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = Path(__file__).with_name("tools.py")
MODELS = Path(tempfile.gettempdir()) / f"cairn-eval-models-{os.getuid()}"
_START_SECONDS = 120
_POLL_SECONDS = 0.02


def link_models(data_dir: Path) -> None:
    """Let a data folder use the embedding model that an earlier service has made."""
    MODELS.mkdir(exist_ok=True)
    (data_dir / "models").symlink_to(MODELS)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the back end is: for the service, and for whoever wants the truth."""

    url: str
    truth: str


@asynccontextmanager
async def back_end(data: str, mode: str, *, faults: float, hang: float, seed: int) -> AsyncIterator[Addresses]:
    """The back end in a process of its own until the block ends."""
    options = {"--mode": mode, "--faults": faults, "--hang": hang, "--seed": seed}
    arguments = [str(part) for pair in options.items() for part in pair]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "evals.retail.backend",
        data,
        *arguments,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Addresses(**json.loads(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


class Service:
    """``cairn serve`` over a folder, on a port that changes with every start.

    Attributes:
        starts: Seconds that each start took.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.starts: list[float] = []
        self._data_dir = folder / "data"
        self._log = folder / "service.log"
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._url: str | None = None

    async def start(self) -> None:
        """Start it; ``ready`` says when it serves."""
        command = ["-m", "service", "serve", "--data-dir", str(self._data_dir), "--port", "0", "--tools", str(TOOLS)]
        command += ["--model", "openai:scripted"]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=log
            )

    async def ready(self) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: It ended by itself, or does not start.
        """
        started = time.perf_counter()
        assert self._process is not None
        while self._process.returncode is None and time.perf_counter() - started < _START_SECONDS:
            url = self._announced(self._process.pid)
            if url:
                self.starts.append(time.perf_counter() - started)
                self._url = url
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise RuntimeError(f"the service did not start:\n{self._log.read_text()[-3000:]}")

    @property
    def url(self) -> str | None:
        """Its address while it serves."""
        return self._url

    async def kill(self) -> None:
        """End it with SIGKILL: it can do nothing about it."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it as Ctrl-C does."""
        await self._end(signal.SIGINT)

    async def _end(self, number: signal.Signals) -> None:
        self._url = None
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()

    def _announced(self, pid: int) -> str | None:
        try:
            address = json.loads((self._data_dir / "service.json").read_text())
        except (OSError, ValueError):
            return None
        return str(address["url"]) if address.get("pid") == pid else None


class Fleet:
    """Services that stand for one another: each request goes to any of them."""

    def __init__(self, members: Sequence[Service], seed: int) -> None:
        self.members = members
        self._random = random.Random(seed)

    async def url(self) -> str:
        """The address of one that serves, once one does."""
        while True:
            serving = [member.url for member in self.members if member.url is not None]
            if serving:
                return self._random.choice(serving)
            await asyncio.sleep(_POLL_SECONDS)
