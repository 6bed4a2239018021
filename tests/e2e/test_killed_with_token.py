"""A service that is killed in the middle of a call for somebody: the next one makes it for the same person."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.test_killed_service import serving
from tests.support.service import share_models

TOKEN = "token-of-ada-4711"
TOOLS = '''
from typing import Any
from cairn import ForwardToken, HttpApi, ToolContext, tool

accounts = HttpApi("{url}", auth=ForwardToken(), rate="3/hour")

@tool(examples=["How many points do I have?"])
async def my_points(context: ToolContext) -> Any:
    """Tell how many points whoever asks has collected."""
    return await accounts.request("GET", "/points", context=context)
'''


@dataclass
class Accounts:
    """A back end that answers nobody's first request, and who asked it."""

    url: str = ""
    asked_by: list[str | None] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def back_end() -> Iterator[Accounts]:
    accounts = Accounts()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            accounts.asked_by.append(self.headers["Authorization"])
            accounts.asked.set()
            if len(accounts.asked_by) == 1:
                accounts.over.wait()
                return
            body = json.dumps({"points": 120}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        accounts.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield accounts
        finally:
            accounts.over.set()
            server.shutdown()
            serving.join()


def test_a_killed_service_leaves_the_askers_token_to_the_next_one_and_to_nobody_else(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    share_models(data_dir)
    with back_end() as accounts, (tmp_path / "log").open("w") as log:
        (tmp_path / "jobs.py").write_text(TOOLS.format(url=accounts.url))
        body = {"message": "How many points do I have?", "retrieval": "off"}
        with serving(data_dir, log) as client:
            run = client.post("/v1/runs", json=body, headers={"Cairn-Subject-Token": TOKEN}).json()["run_id"]
            assert accounts.asked.wait(20)
        left = b"".join(
            file.read_bytes() for file in data_dir.rglob("*") if file.is_file() and file.stat().st_size < 2**24
        )
        with serving(data_dir, log) as client:
            told = client.get(f"/v1/runs/{run}/events").text
            ended = client.get(f"/v1/runs/{run}").json()
    assert (ended["status"], ended["tool_calls"][0]["content"]) == ("completed", '{"points":120}')
    assert accounts.asked_by == [f"Bearer {TOKEN}"] * 2
    assert b"How many points" in left
    assert TOKEN.encode() not in left
    assert TOKEN not in told + (tmp_path / "log").read_text()
