"""A service that is killed while it answers: the next one on the same folder goes on with it, and loses nothing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from tests.support.service import ROOT, environment, share_models

TOOLS = '''
import asyncio
from pathlib import Path
from cairn import tool

@tool(examples=["Wait for job 7.", "Wait for job 12."])
async def wait_for_job(job_id: int) -> str:
    """Wait for a job until it is done."""
    here = Path(__file__).with_name("begun")
    if here.exists():
        return "done"
    here.touch()
    await asyncio.Event().wait()
'''
QUESTION = "Wait for job 4711."


@contextmanager
def serving(data_dir: Path, log: IO[str], end: signal.Signals = signal.SIGKILL) -> Iterator[httpx.Client]:
    """``cairn serve`` until the block ends; then it gets this signal."""
    command = [sys.executable, "-m", "service", "serve", "--data-dir", str(data_dir), "--port", "0"]
    command += ["--tools", str(data_dir.parent / "jobs.py")]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=log)
    try:
        with httpx.Client(base_url=announced(data_dir, process), timeout=30, trust_env=False) as client:
            yield client
    finally:
        process.send_signal(end)
        process.wait(timeout=30)


def announced(data_dir: Path, process: subprocess.Popen[bytes]) -> str:
    """The address that the process has announced."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            address = json.loads((data_dir / "service.json").read_text())
        except (OSError, ValueError):
            address = {}
        if address.get("pid") == process.pid:
            return str(address["url"])
        time.sleep(0.05)
    raise AssertionError("the service did not start")


def test_what_a_killed_service_was_doing_the_next_one_goes_on_with(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    share_models(data_dir)
    (tmp_path / "jobs.py").write_text(TOOLS)
    with (tmp_path / "log").open("w") as log:
        with serving(data_dir, log) as client:
            body = {"message": QUESTION, "metadata": {"ticket": "T-1"}}
            with client.stream("POST", "/v1/chat/stream", json=body) as response:
                run = response.headers["x-run-id"]
                seen = []
                for line in response.iter_lines():
                    seen.append(line)
                    if line == "event: tool.call":
                        break
                waiting = client.get(f"/v1/runs/{run}").json()
                assert waiting["status"] == "running"
        with serving(data_dir, log) as client:
            replay = client.get(f"/v1/runs/{run}/events").text.splitlines()
            ended = client.get(f"/v1/runs/{run}").json()
            history = client.get(f"/v1/sessions/{ended['session_id']}").json()["messages"]
            again = client.post("/v1/chat", json={"message": "Hello?", "session_id": ended["session_id"]})
            cancelled = client.post(f"/v1/runs/{run}/cancel")
    assert (ended["status"], ended["tool_calls"][0]["content"]) == ("completed", "done")
    assert replay[: len(seen)] == seen
    assert [line for line in replay if line.startswith("event: run.")] == ["event: run.started", "event: run.completed"]
    assert [message["role"] for message in history] == ["user", "assistant", "tool", "assistant"]
    assert history[0]["content"] == QUESTION
    assert again.json()["status"] == "completed"
    assert cancelled.json()["code"] == "run_ended"


def test_logs_are_json_that_names_the_run_and_holds_none_of_its_words(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    share_models(data_dir)
    (tmp_path / "jobs.py").write_text(TOOLS)
    with (tmp_path / "log").open("w") as log, serving(data_dir, log, signal.SIGTERM) as client:
        answer = client.post("/v1/chat", json={"message": "What about zanzibar-secret cables?"}).json()
        client.post("/v1/chat", json={"message": "zanzibar-secret", "tools": ["nothing"]})
    text = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    ended = next(line for line in lines if line.get("run_id") == answer["run_id"])
    assert (ended["event"], ended["type"], ended["level"]) == ("run ended", "run.completed", "info")
    assert "zanzibar" not in text
