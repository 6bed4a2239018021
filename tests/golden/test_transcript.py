"""A whole stream, byte for byte, but for ids, times and scores: what a client sees of one run with everything in it."""

import re

import jsonschema
import orjson
import pytest
import pytest_asyncio

from agent.log.schema import run_event_schema
from cairn import tool
from models.messages import Finish, ToolCall, Usage
from models.scripted import ScriptedModel, ScriptItem
from tests.golden.conftest import Golden
from tests.support.service import running_service

HANDBOOK = "# Returns\n\nOpened headphones may be returned within 14 days.\n\n# Repairs\n\nA repair takes ten days.\n"


@tool(effect="write", examples=("Open a ticket",))
def open_ticket(subject: str) -> dict[str, str]:
    """Open a ticket at the help desk."""
    return {"ticket": "T-1", "subject": subject}


SCRIPT: list[list[ScriptItem]] = [
    [
        ToolCall(id="call_a", name="open_ticket", arguments='{"subject": "Headphones – crackle"}'),
        ToolCall(id="call_b", name="close_ticket", arguments="{}"),
        Finish(reason="tool_calls", usage=Usage(input_tokens=210, output_tokens=18)),
    ],
    [
        "Opened headphones may be returned within 14 days. [1]",
        " Your ticket is T-1.",
        Finish(reason="stop", usage=Usage(input_tokens=260, output_tokens=20)),
    ],
]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")
_FIELDS = [
    (re.compile(r'"(duration_ms|score|dense|bm25|hop)":-?[0-9.e+-]+'), r'"\1":0'),
    (re.compile(r'"(created_at|expires_at)":"[^"]+"'), r'"\1":"2026-01-01T00:00:00.000000+00:00"'),
    (re.compile(r'"config_version":"[^"]+"'), '"config_version":"0123456789abcdef"'),
]


def normalised(stream: str) -> str:
    """The stream with every id replaced by its number in order of appearance, and times and scores by constants."""
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return f"id-{numbers.setdefault(found[0], len(numbers) + 1)}"

    stream = _HASH.sub(number, _UUID.sub(number, stream))
    for pattern, constant in _FIELDS:
        stream = pattern.sub(constant, stream)
    return stream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stream(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A question about a document and an order to a tool that a person approves, as the service streams them."""
    async with running_service(
        tmp_path_factory.mktemp("transcript"), model=ScriptedModel(SCRIPT), tools=[open_ticket]
    ) as service:
        text = {"title": "Handbook", "text": HANDBOOK, "metadata": {"lang": "en"}}
        (await service.client.post("/v1/documents", json=text)).raise_for_status()
        body = {"message": "How long may I return opened headphones? Open a ticket, too."}
        asked = await service.client.post("/v1/chat/stream", json=body)
        waiting = (await service.client.get("/v1/approvals")).json()["items"][0]
        decision = {"decision": "approve", "reason": "As agreed."}
        (await service.client.post(f"/v1/approvals/{waiting['id']}", json=decision)).raise_for_status()
        last = asked.text.count("\nid: ")
        resumed = await service.client.get(f"/v1/runs/{waiting['run_id']}/events", headers={"Last-Event-ID": str(last)})
        return asked.text + resumed.text


def test_a_whole_stream_is_what_it_was(stream: str, golden: Golden) -> None:
    golden.text("transcript.sse", normalised(stream))


def test_every_event_fits_the_schema_that_is_promised(stream: str) -> None:
    check = jsonschema.Draft202012Validator(run_event_schema())
    events = [orjson.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]
    for event in events:
        check.validate(event)
    types = {event["type"] for event in events}
    assert types >= {"retrieval.completed", "text.delta", "tool.call", "tool.result", "citation", "usage"}
    assert types >= {"approval.requested", "run.waiting", "approval.decided", "run.resumed"}


def test_an_event_with_a_field_missing_does_not_fit() -> None:
    check = jsonschema.Draft202012Validator(run_event_schema())
    whole = {"run_id": "r", "seq": 1, "type": "text.delta", "delta": "Hello"}
    assert check.is_valid(whole)
    for name in whole:
        assert not check.is_valid({key: value for key, value in whole.items() if key != name})
