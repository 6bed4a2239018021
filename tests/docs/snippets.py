"""Runs a page of the documentation as a reader would: its files written, its commands run, its output compared.

A comment that GitHub does not show, on the line before a fenced block, says what the block is:

    <!-- file: notes/returns.md -->   it is written there
    <!-- run -->                      it is run, sh or python; it must succeed
    <!-- serve -->                    it is started in place of the last, and is ready before the page goes on
    <!-- start: 8100 -->              it is started beside that and stays until the page ends: a FastAPI back end
    <!-- output -->                   the block before it printed this; … stands for anything

Blocks without such a comment are only shown. The page's port, 8000, becomes a free one, as do those of what is started.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = "8000"
_BLOCK = re.compile(
    r"^<!-- (?P<kind>file|run|serve|start|output)(?:: (?P<path>\S+))? -->\n+```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block that the page marks."""

    kind: str
    path: str | None
    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The marked blocks of a page, in order."""
    return [
        Block(found["kind"], found["path"], found["language"], found["text"], page.count("\n", 0, found.start()) + 1)
        for found in _BLOCK.finditer(page)
    ]


def run_page(page: str, folder: Path) -> list[Block]:
    """Carry out the page in ``folder``; gives what was carried out.

    Raises:
        AssertionError: A command failed, or printed something else than the page says.
    """
    done = blocks(page)
    with ExitStack() as back_ends, ExitStack() as services:
        reader = _Reader(folder, services, back_ends)
        for block in done:
            reader.do(block)
    return done


class _Reader:
    """Somebody at a terminal in ``folder``, with the ``cairn`` of this environment on the path."""

    def __init__(self, folder: Path, services: ExitStack, back_ends: ExitStack) -> None:
        self._folder = folder
        self._services = services
        self._back_ends = back_ends
        self._port = _free_port()
        self._ports = {PORT: self._port}
        self._printed = ""
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self._environment = {**os.environ, "PATH": path, "CAIRN_PORT": self._port, "COLUMNS": "100"}
        # By chance one answer in twenty would be made afresh.
        self._environment["CAIRN_CACHE__SHADOW"] = "0"

    def do(self, block: Block) -> None:
        if block.kind == "start":
            self._ports[str(block.path)] = _free_port()
        text = block.text
        for port, free in self._ports.items():
            text = re.sub(rf"((?<=:)|(?<=--port )){port}\b", free, text)
        match block.kind:
            case "file":
                file = self._folder / str(block.path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            case "run":
                self._printed = self._run(block, text)
            case "serve":
                self._services.close()
                self._services.enter_context(self._serving(text, self._port, "/readyz"))
            case "start":
                self._back_ends.enter_context(self._serving(text, self._ports[str(block.path)], "/openapi.json"))
            case _:
                assert matches(text, self._printed), f"line {block.line}: expected\n{text}\nbut got\n{self._printed}"

    def _run(self, block: Block, text: str) -> str:
        run = subprocess.run(
            _command(block.language, text),
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, f"line {block.line}: exit code {run.returncode}\n{run.stdout}{run.stderr}"
        return run.stdout

    @contextmanager
    def _serving(self, text: str, port: str, path: str) -> Iterator[None]:
        log = self._folder / f"serve-{port}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                _command("sh", f"exec {text}"),
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                self._wait(process, log, f"http://127.0.0.1:{port}{path}")
                self._printed = log.read_text(encoding="utf-8")
                yield
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=20)

    def _wait(self, process: "subprocess.Popen[bytes]", log: Path, url: str) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the service was not ready within a minute")


def matches(expected: str, printed: str) -> bool:
    """Whether ``printed`` has the expected lines, in order and next to each other; ``…`` stands for anything."""
    parts = [re.escape(part) for part in expected.strip("\n").split("…")]
    return re.search("^" + ".*?".join(parts) + r"\s*$", printed, re.MULTILINE | re.DOTALL) is not None


def _command(language: str, text: str) -> list[str]:
    return [sys.executable, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text]


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
