"""Runs that nobody waits for: accepted at once, carried out in their lane, found again in a list."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.messages import ModelRequest
from models.scripted import ScriptedModel, ScriptItem
from records.keys import KeyStore
from tests.support.service import LocalService, cairn, events, running_service, served, share_models


class Gate:
    """A model that tells in which order questions reach it, and answers each when it is let."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.changed = asyncio.Event()
        self._open: dict[str, asyncio.Event] = {}
        self.model = ScriptedModel(self._answer)

    def _answer(self, request: ModelRequest) -> Sequence[ScriptItem]:
        question = request.messages[-1].content
        self.reached.append(question)
        self.changed.set()
        return [self._of(question).wait, f"Done: {question}"]

    def _of(self, question: str) -> asyncio.Event:
        return self._open.setdefault(question, asyncio.Event())

    def let(self, *questions: str) -> None:
        for question in questions:
            self._of(question).set()

    async def has_reached(self, count: int) -> list[str]:
        async with asyncio.timeout(60):
            while len(self.reached) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.reached


async def start(service: LocalService, message: str, **body: Any) -> httpx.Response:
    given = {"message": message, "retrieval": "off", **body}
    headers = given.pop("headers", {})
    return await service.client.post("/v1/runs", json=given, headers=headers)


async def end_of(service: LocalService, run: str) -> str:
    async with service.client.stream("GET", f"/v1/runs/{run}/events") as response:
        return [event async for event in events(response)][-1].type


async def test_a_run_is_accepted_at_once_and_fetched_later(tmp_path: Path) -> None:
    gate = Gate()
    async with running_service(tmp_path, model=gate.model) as service:
        accepted = await start(service, "a")
        run = accepted.json()["run_id"]
        assert accepted.status_code == 202
        assert accepted.headers["location"] == f"/v1/runs/{run}"
        assert accepted.json()["status"] in {"queued", "running"}
        await gate.has_reached(1)
        assert (await service.client.get(accepted.headers["location"])).json()["status"] == "running"
        gate.let("a")
        assert await end_of(service, run) == "run.completed"
        ended = (await service.client.get(accepted.headers["location"])).json()
    assert (ended["status"], ended["answer"]) == ("completed", "Done: a")
    assert ended["session_id"] == accepted.json()["session_id"]


async def test_interactive_runs_go_first_and_each_lane_keeps_its_limit(tmp_path: Path) -> None:
    gate = Gate()
    lanes = {"interactive": 1, "batch": 1}
    async with running_service(tmp_path, model=gate.model, lanes=lanes) as service:
        runs = [(await start(service, "i1", lane="interactive")).json()["run_id"]]
        await gate.has_reached(1)
        for message, lane in (("i2", "interactive"), ("b1", "batch"), ("b2", "batch"), ("i3", "interactive")):
            runs.append((await start(service, message, lane=lane)).json()["run_id"])
        metrics = (await service.client.get("/metrics")).text
        assert 'cairn_lane_depth{lane="batch"} 2.0' in metrics
        assert 'cairn_lane_depth{lane="interactive"} 2.0' in metrics
        assert 'cairn_lane_running{lane="interactive"} 1.0' in metrics
        assert 'cairn_lane_oldest_seconds{lane="batch"} 0.0' not in metrics
        states = {item.pop("lane"): item for item in (await service.client.get("/v1/lanes")).json()["items"]}
        assert states["batch"].pop("oldest_seconds") > 0
        assert states["batch"] == {"waiting": 2, "running": 0}
        assert (states["interactive"]["waiting"], states["interactive"]["running"]) == (2, 1)
        env = {"CAIRN_SERVICE_URL": service.url}
        shown = await asyncio.to_thread(cairn, "runs", "lanes", env=env, cwd=tmp_path)
        assert [line.split()[:3] for line in shown.stdout.splitlines()][1:] == [
            ["interactive", "2", "1"],
            ["batch", "2", "0"],
        ]
        gate.let("i1", "i2")
        # Once no interactive run waits any more, the batch lane's turn comes.
        assert await gate.has_reached(4) == ["i1", "i2", "i3", "b1"]
        assert (await service.client.get(f"/v1/runs/{runs[3]}")).json()["status"] == "queued"
        gate.let("i3", "b1", "b2")
        assert [await end_of(service, run) for run in runs] == ["run.completed"] * 5
    assert gate.reached[3:] == ["b1", "b2"]


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/chat", "/v1/chat/stream"])
async def test_when_too_many_wait_the_next_is_asked_to_come_later(tmp_path: Path, path: str) -> None:
    gate = Gate()
    lane = "batch" if path == "/v1/runs" else "interactive"
    lanes = {"interactive": 1, "batch": 1, "queue": 2}
    async with running_service(tmp_path, model=gate.model, lanes=lanes) as service:
        key = {"Idempotency-Key": "k"}
        first = await start(service, "0", lane=lane, headers=key)
        await gate.has_reached(1)
        for number in "12":
            assert (await start(service, number, lane=lane)).status_code == 202
        refused = await service.client.post(path, json={"message": "3"})
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        again = await start(service, "0", lane=lane, headers=key)
        assert (again.status_code, again.json()["run_id"]) == (202, first.json()["run_id"])
        other = await start(service, "4", lane="interactive" if lane == "batch" else "batch")
        assert other.status_code == 202
        gate.let(*"01234")
        assert await end_of(service, other.json()["run_id"]) == "run.completed"


async def test_what_waited_in_its_lane_goes_on_after_a_restart(tmp_path: Path) -> None:
    gate = Gate()
    async with running_service(tmp_path, model=gate.model, lanes={"batch": 1}) as service:
        runs = [(await start(service, message)).json()["run_id"] for message in "abc"]
        await gate.has_reached(1)
    gate.reached.clear()
    async with running_service(tmp_path, model=gate.model, lanes={"batch": 1}) as service:
        await gate.has_reached(1)
        assert gate.reached == ["a"]
        gate.let("a", "b", "c")
        assert [await end_of(service, run) for run in runs] == ["run.completed"] * 3
    assert gate.reached == ["a", "b", "c"]


async def test_runs_are_listed_page_by_page_to_whom_they_belong(tmp_path: Path) -> None:
    gate = Gate()
    gate.let("a", "b")
    async with running_service(tmp_path, model=gate.model) as service:
        keys = KeyStore(service.services.knowledge.database)
        alice, *others = [await keys.create(tenant=tenant, name="n", scopes=["chat"]) for tenant in ("a", "a", "b")]
        service.client.headers["Authorization"] = f"Bearer {alice.text}"
        runs = [(await start(service, message, lane="interactive")).json()["run_id"] for message in "abc"]
        for run in runs[:2]:
            await end_of(service, run)
        await gate.has_reached(3)
        page = (await service.client.get("/v1/runs", params={"limit": 2})).json()
        rest = (await service.client.get("/v1/runs", params={"limit": 2, "cursor": page["next_cursor"]})).json()
        listed = [*page["items"], *rest["items"]]
        assert [item["run_id"] for item in listed] == runs[::-1]
        assert rest["next_cursor"] is None
        assert [(item["message"], item["status"], item["lane"]) for item in listed] == [
            ("c", "running", "interactive"),
            ("b", "completed", "interactive"),
            ("a", "completed", "interactive"),
        ]
        running = (await service.client.get("/v1/runs", params={"status": "running"})).json()["items"]
        assert [item["run_id"] for item in running] == runs[2:]
        assert (await service.client.get("/v1/runs", params={"status": "queued"})).json()["items"] == []
        assert (await service.client.get("/v1/runs", params={"status": "gone"})).status_code == 422
        assert (await service.client.get("/v1/runs", params={"cursor": "x"})).json()["code"] == "invalid_cursor"
        gate.let("c")
        await end_of(service, runs[2])
        for other in others:
            headers = {"Authorization": f"Bearer {other.text}"}
            assert (await service.client.get("/v1/runs", headers=headers)).json()["items"] == []


async def test_a_run_in_the_background_has_one_lane_of_two(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        refused = await start(service, "a", lane="fast")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "lane")


def test_the_command_lists_shows_and_cancels_runs(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(
        "import asyncio\nfrom cairn import tool\n\n"
        '@tool(timeout=3600, examples=["Wait for job 7.", "Wait for job 12."])\n'
        'async def wait_for_job(job_id: int) -> str:\n    """Wait for a job until it is done."""\n'
        "    await asyncio.Event().wait()\n    return 'done'\n"
    )
    data_dir = tmp_path / "data"
    share_models(data_dir)
    with served(data_dir, "--tools", str(tmp_path / "jobs.py")) as url:
        body = {"message": "Wait for job 4711.\x1b[2J"}
        accepted = httpx.post(f"{url}/v1/runs", json=body, trust_env=False).json()
        run = accepted["run_id"]
        here = ("--data-dir", str(data_dir))
        listed = cairn("runs", "list", *here)
        shown = cairn("runs", "show", run, *here)
        cancelled = cairn("runs", "cancel", run, "--reason", "enough", *here)
        after = cairn("runs", "list", "--status", "cancelled", "--json", *here)
        missing = cairn("runs", "show", "nothing", *here)
        ended = httpx.get(f"{url}/v1/runs/{run}", trust_env=False).json()
    assert run in listed.stdout
    assert "4711" in listed.stdout
    assert "\x1b[2J" not in listed.stdout
    assert run in shown.stdout
    assert cancelled.returncode == 0, cancelled.stderr
    assert ended["status"] == "cancelled"
    assert run in after.stdout
    assert (missing.returncode, "no run" in missing.stderr) == (1, True)
