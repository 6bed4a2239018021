"""A real service on a real port: in this process over parts of a test's choosing, or as ``cairn serve``."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from models.port import ChatModel
from service.api import create_app
from service.metrics import Metrics
from service.routes.ws import UVICORN
from service.services import Services, open_services
from service.settings import ProviderSettings, Settings

ROOT = Path(__file__).parents[2]
MODELS = Path(tempfile.gettempdir()) / f"cairn-test-models-{os.getuid()}"
"""The built-in embedding model is made once for all tests, not once a data folder."""


@dataclass(frozen=True)
class LocalService:
    """A service in this process, and a client of it."""

    url: str
    services: Services
    client: httpx.AsyncClient


@asynccontextmanager
async def running_service(
    data_dir: Path, *, model: ChatModel | None = None, tools: Sequence[Any] = (), **settings: Any
) -> AsyncIterator[LocalService]:
    """Serve on a free port until the block ends. Unless the settings say otherwise no answer is drawn to be checked."""
    settings.setdefault("cache", {"shadow": 0.0})
    share_models(data_dir)
    metrics = Metrics()
    given = Settings(data_dir=data_dir, **settings)
    async with open_services(given, ProviderSettings(), metrics, model=model, tools=tools) as services:
        config = uvicorn.Config(
            create_app(services, metrics), log_config=None, lifespan="off", timeout_graceful_shutdown=2, **UVICORN
        )
        server = uvicorn.Server(config)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            serving = asyncio.create_task(server._serve([listener]))
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
                yield LocalService(url, services, client)
            server.should_exit = True
            await serving


def share_models(data_dir: Path) -> None:
    """Let a data folder use the model that an earlier test made."""
    MODELS.mkdir(exist_ok=True)
    data_dir.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (data_dir / "models").symlink_to(MODELS)


@dataclass(frozen=True)
class Event:
    """A frame of a stream of events."""

    id: int
    type: str
    data: dict[str, Any]


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """The frames of a stream, as the specification reads them."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line:
            if fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


async def ask(service: LocalService, message: str, **body: Any) -> list[Event]:
    """Ask, and read the whole stream."""
    request = service.client.stream("POST", "/v1/chat/stream", json={"message": message, **body})
    async with request as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in events(response)]


def cairn(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment(env),
        **{"cwd": ROOT, **options},
    )


def environment(further: dict[str, str] | None = None) -> dict[str, str]:
    """What a command of a test sees of the environment. No answer is drawn to be checked, as in ``running_service``."""
    fixed = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", "CAIRN_CACHE__SHADOW": "0"}
    return {**os.environ, **fixed, **(further or {})}


@contextmanager
def served(data_dir: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """``cairn serve`` in a process of its own, stopped as Ctrl-C stops it; gives its address once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "service", "serve", "--data-dir", str(data_dir), "--port", str(port), *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(env), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def _wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the service did not start: {process.communicate()[1]}")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the service was not ready within a minute")
