"""The processes of a measurement: the compiled load tools, the servers, and the processor time that they use."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent
SERVER_CORE, LOAD_CORE = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of a number of requests; times in milliseconds, percentiles over the requests.

    Attributes:
        errors: Replies that were no 200, were cut off, or lacked their end.
        cpu: Processor seconds that the server and its children used meanwhile.
    """

    replies: int
    errors: int
    seconds: float
    first_p50: float
    first_p99: float
    end_p50: float
    end_p99: float
    bytes: int
    cpu: float


class Server:
    """A server under test, pinned to a core of its own together with its children."""

    def __init__(self, process: psutil.Process, port: int) -> None:
        self.port = port
        self._process = process

    def cpu(self) -> float:
        """Processor seconds so far, of the server and its children."""
        times = [each.cpu_times() for each in (self._process, *self._process.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    def load(
        self, path: str, body: Mapping[str, object], *, concurrency: int, total: int, first: str, last: str
    ) -> Load:
        """Send the same request ``total`` times, ``concurrency`` at a time."""
        arguments = (self.port, path, orjson.dumps(body).decode(), concurrency, total, first, last)
        before = self.cpu()
        command = [*_pinned(LOAD_CORE), compiled("load"), *map(str, arguments)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return Load(cpu=self.cpu() - before, **orjson.loads(done.stdout))


def compiled(name: str) -> str:
    """The path of a load tool, compiled again when its source is newer."""
    source, binary = HERE / f"{name}.c", HERE / "bin" / name
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise SystemExit("bench: the load tools are C; install a compiler (apt-get install gcc)")
        binary.parent.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return str(binary)


@contextmanager
def upstream() -> Iterator[str]:
    """The mock model server; gives its base URL."""
    port = _free_port()
    with _process([compiled("mock"), str(port)], LOAD_CORE, {}):
        _wait(port)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def reference_server(name: str, model_url: str) -> Iterator[Server]:
    """One of the servers of ``streaming_servers``."""
    port = _free_port()
    command = [sys.executable, "-m", "bench.streaming_servers", name, str(port), model_url]
    with _process(command, SERVER_CORE, {}) as process:
        _wait(port)
        yield Server(process, port)


@contextmanager
def cairn_server(model_url: str, models: Sequence[str], data: Path) -> Iterator[Server]:
    """The whole service over the example shop's handbook."""
    port = _free_port()
    common = ["--collection", "shop", "--data-dir", str(data)]
    cairn = [sys.executable, "-m", "service"]
    handbook = str(ROOT / "examples" / "shop" / "handbook")
    subprocess.run(
        [*cairn, "ingest", handbook, "--trust", "--json", *common], check=True, cwd=ROOT, capture_output=True
    )
    environment = {
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "none",
        "CAIRN_LOG_LEVEL": "error",
        "CAIRN_MODELS": orjson.dumps(list(models)).decode(),
    }
    tools = str(HERE / "streaming_tools.py")
    serve = [*cairn, "serve", "--port", str(port), "--model", models[0], "--tools", tools, *common]
    with _process(serve, SERVER_CORE, environment) as process:
        _wait(port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
            yield Server(process, port)


@contextmanager
def _process(command: Sequence[str], core: int, environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [*_pinned(core), *command], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pinned(core: int) -> list[str]:
    """What runs a command on one core (taskset is part of util-linux); on a machine with one core, all share it."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "--cpu-list", str(cores[core % len(cores)])]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("bench: a server did not start within a minute; its errors are above")
