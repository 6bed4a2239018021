"""Tools of MCP servers in the hands of the agent: judged, approved and journalled as its own are."""

import json
import sys
from pathlib import Path
from typing import Any

from mcp import Client

from models.messages import ModelRequest, ToolCall
from models.scripted import ScriptedModel, ScriptItem
from tests.support.service import ROOT, LocalService, running_service

ITEM = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}


def server(folder: Path, *tools: str, **more: Any) -> dict[str, Any]:
    """The settings of a program that lists these tools, and does what their names say."""
    folder.mkdir(exist_ok=True)
    listed = [{"name": name, "description": f"Does {name}.", "inputSchema": ITEM} for name in tools]
    (folder / "tools").write_text(json.dumps(listed))
    program = str(ROOT / "tests/support/raw_mcp_server.py")
    return {"name": "desk", "command": sys.executable, "args": ["-I", "-S", program, str(folder)], **more}


def calling(name: str) -> ScriptedModel:
    """A model that calls the tool once, and then says what came of it."""

    def turn(request: ModelRequest) -> list[ScriptItem]:
        last = request.messages[-1]
        return [last.content] if last.role == "tool" else [ToolCall(id="1", name=name, arguments='{"item": "lamp"}')]

    return ScriptedModel(turn)


async def ask(service: LocalService) -> dict[str, Any]:
    answer = await service.client.post("/v1/chat", json={"message": "Please.", "retrieval": "off"})
    assert answer.status_code in {200, 202}, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def decide(service: LocalService, run: dict[str, Any], decision: str, reason: str = "") -> dict[str, Any]:
    """Decide what the run asks last, and give what it comes to."""
    approval = run["approvals"][-1]["approval_id"]
    body = {"decision": decision, "reason": reason}
    assert (await service.client.post(f"/v1/approvals/{approval}", json=body)).status_code == 200
    events = await service.client.get(f"/v1/runs/{run['run_id']}/events")
    waited = [line for line in events.text.splitlines() if line.startswith("id: ")][-1].removeprefix("id: ")
    if "run.completed" not in events.text:
        headers = {"Last-Event-ID": waited}
        await service.client.get(f"/v1/runs/{run['run_id']}/events", headers=headers)
    found: dict[str, Any] = (await service.client.get(f"/v1/runs/{run['run_id']}")).json()
    return found


def acts(folder: Path) -> list[str]:
    return [line for line in (folder / "log").read_text().splitlines() if line.startswith("act")]


async def test_a_call_waits_for_a_person_and_is_made_once(tmp_path: Path) -> None:
    desk = server(tmp_path / "desk", "act")
    async with running_service(tmp_path / "data", model=calling("desk_act"), mcp=[desk]) as service:
        run = await ask(service)
        assert run["status"] == "waiting_approval"
        assert acts(tmp_path / "desk") == []
        done = await decide(service, run, "approve")
        assert (done["status"], done["answer"]) == ("completed", "act is done")
        assert acts(tmp_path / "desk") == [f"act lamp {run['run_id']}:1:0"]


async def test_a_server_that_dies_in_the_midst_of_an_effect_is_not_asked_again_unless_a_person_says_so(
    tmp_path: Path,
) -> None:
    desk = server(tmp_path / "desk", "act_and_die", autonomy="auto")
    async with running_service(tmp_path / "data", model=calling("desk_act_and_die"), mcp=[desk]) as service:
        run = await ask(service)
        assert [asked["kind"] for asked in run["approvals"]] == ["outcome_unknown"]
        done = await decide(service, run, "reject", "the lamp has arrived")
        assert done["status"] == "completed"
        assert "the lamp has arrived" in done["answer"]
        assert len(acts(tmp_path / "desk")) == 1


async def test_a_server_that_says_nothing_does_not_keep_the_service_from_starting(tmp_path: Path) -> None:
    desk = server(tmp_path / "desk", "act", start_seconds=0.5)
    (tmp_path / "desk" / "mute").touch()
    async with running_service(tmp_path / "data", model=calling("desk_act"), mcp=[desk]) as service:
        assert (await service.client.get("/readyz")).status_code == 200
        listed = (await service.client.get("/v1/tools")).json()["items"]
        assert "desk_act" not in [each["name"] for each in listed]


async def test_a_call_that_was_approved_waits_for_its_server_after_a_restart(tmp_path: Path) -> None:
    desk = server(tmp_path / "desk", "act", start_seconds=0.5)
    async with running_service(tmp_path / "data", model=calling("desk_act"), mcp=[desk]) as service:
        run = await ask(service)
    (tmp_path / "desk" / "mute").touch()
    async with running_service(tmp_path / "data", model=calling("desk_act"), mcp=[desk]) as service:
        assert "desk_act" not in (await service.client.get("/v1/tools")).text
        approval = run["approvals"][-1]["approval_id"]
        answer = await service.client.post(f"/v1/approvals/{approval}", json={"decision": "approve"})
        assert answer.status_code == 200
        (tmp_path / "desk" / "mute").unlink()
        seen = str((await service.client.get(f"/v1/runs/{run['run_id']}/events")).text.count("id: "))
        await service.client.get(f"/v1/runs/{run['run_id']}/events", headers={"Last-Event-ID": seen})
        done = (await service.client.get(f"/v1/runs/{run['run_id']}")).json()
        assert (done["status"], done["answer"]) == ("completed", "act is done")
        assert len(acts(tmp_path / "desk")) == 1


async def test_the_tools_of_a_server_are_served_on(tmp_path: Path) -> None:
    """Its descriptions, checks and approvals are those that the agent has."""
    desk = server(tmp_path / "desk", "act", effects={"act": "read"})
    async with running_service(tmp_path / "data", model=calling("desk_act"), mcp=[desk], mcp_server=True) as service:
        async with Client(f"{service.url}/mcp") as client:
            result = await client.call_tool("desk_act", {"item": "lamp"})
            assert result.content[0].text == "act is done"  # type: ignore[union-attr]
            wrong = await client.call_tool("desk_act", {})
            assert wrong.is_error
        assert len(acts(tmp_path / "desk")) == 1
