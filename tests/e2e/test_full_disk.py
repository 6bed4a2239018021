"""A disk that fills up: a clear answer, nothing acknowledged is lost, and work goes on once there is room."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.messages import ModelRequest
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import ask, events, running_service

SIZE = 96 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount the small disk that this test fills")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            pass
        try:
            while file.write(b"\0"):
                pass
        except OSError:
            pass
    return filler


async def test_a_full_disk_is_said_and_loses_nothing(small_disk: Path) -> None:
    hold = asyncio.Event()

    def script(request: ModelRequest) -> list[ScriptItem]:
        long = [f"word{number} " * 40 for number in range(100)]
        return ["Well, ", hold.wait, *long] if request.messages[-1].content == "go on" else ["Fine."]

    async with running_service(small_disk / "data", model=ScriptedModel(script)) as service:
        client = service.client
        kept = (await client.post("/v1/documents", json={"title": "Kept", "text": "Cables go back in 30 days."})).json()
        before = (await client.post("/v1/chat", json={"message": "Hello"})).json()

        async with client.stream("POST", "/v1/chat/stream", json={"message": "go on"}) as response:
            stream = []
            async for event in events(response):
                stream.append(event)
                if event.type == "text.delta" and not hold.is_set():
                    filler = fill(small_disk)
                    hold.set()
        run = stream[0].data["run_id"]
        assert (stream[-1].type, stream[-1].data["code"]) == ("run.failed", "disk_full")
        assert (await client.get(f"/v1/runs/{run}")).json()["error"]["code"] == "disk_full"

        refused = await client.post("/v1/chat", json={"message": "Hello"})
        assert (refused.status_code, refused.json()["code"]) == (507, "disk_full")
        assert "free some space" in refused.json()["detail"]
        upload = await client.post("/v1/documents", json={"title": "Lost", "text": "No room. " * 2000})
        assert (upload.status_code, upload.json()["code"]) == (507, "disk_full")

        found = (await client.post("/v1/search", json={"query": "cables"})).json()["items"]
        assert [item["title"] for item in found] == ["Kept"]
        assert (await client.get(f"/v1/runs/{before['run_id']}")).json() == before

        filler.unlink()
        after = (await client.post("/v1/chat", json={"message": "Hello"})).json()
        assert after["answer"] == "Fine."
        added = await client.post("/v1/documents", json={"title": "Lost", "text": "There is room."})
        assert added.json()["outcome"] == "added"
        listed = (await client.get("/v1/documents")).json()["items"]
        assert kept["document"]["id"] in {item["id"] for item in listed}
        assert {item["title"] for item in listed} == {"Kept", "Lost"}
        while service.services.runs.active:
            await asyncio.sleep(0)
        assert not await service.services.run_store.unsealed()
        replay = await client.get(f"/v1/runs/{run}/events")
        assert replay.text.count("event: run.failed") == 1

    async with running_service(small_disk / "data", model=ScriptedModel(script)) as service:
        listed = (await service.client.get("/v1/documents")).json()["items"]
        assert {item["title"] for item in listed} == {"Kept", "Lost"}
        assert [event.type for event in await ask(service, "cables?")][-1] == "run.completed"
