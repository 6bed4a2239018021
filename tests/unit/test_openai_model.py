"""The native client against a real server that misbehaves in the ways that real ones do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from models.errors import (
    Authentication,
    InvalidRequest,
    MalformedResponse,
    ModelError,
    ModelNotFound,
    OutputRejected,
    Permanent,
    RateLimited,
    Transient,
)
from models.messages import Finish, Message, ModelItem, ModelRequest, ToolCall, Usage
from models.openai import OpenAIModel
from models.openai_server import Timeouts
from tests.support.provider import CUT, DONE, HANG, Part, Provider, chunk, event, serve, text, usage

KEY = "sk-" + "t0psecret" * 4
REQUEST = ModelRequest(messages=(Message(role="user", content="Hello?"),), max_tokens=50, temperature=0.2)

ALL = chunk({"content": "Hi "}) + chunk({"content": "you"}) + chunk(finish="stop") + DONE


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serve() as running:
        yield running


@pytest.fixture
async def model(provider: Provider) -> AsyncIterator[OpenAIModel]:
    opened = OpenAIModel("m", base_url=provider.url + "/", api_key=SecretStr(f" {KEY}\n"), timeouts=Timeouts(idle=20))
    yield opened
    await opened.aclose()


async def collect(model: OpenAIModel, request: ModelRequest = REQUEST) -> list[ModelItem]:
    return [item async for item in model.stream(request)]


async def calls_of(provider: Provider, model: OpenAIModel, *deltas: Any) -> list[tuple[str, str, str]]:
    provider.says(*(chunk({"tool_calls": delta}) for delta in deltas), chunk(finish="stop"), DONE)
    items = await collect(model)
    assert items[-1] == Finish(reason="tool_calls")
    return [(item.id, item.name, item.arguments) for item in items if isinstance(item, ToolCall)]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([*text("Hi ", "you"), chunk(finish="stop"), DONE], id="as it should be"),
        pytest.param([ALL], id="all at once"),
        pytest.param([*text("Hi ", "you"), chunk(finish="stop")], id="no [DONE]"),
        pytest.param([*text("Hi ", "you"), DONE], id="no finish reason"),
        pytest.param([*text("Hi ", "you"), chunk(finish="stop"), b"data: [DONE]"], id="no empty line at the end"),
        pytest.param([b": ping\n\n", *text("Hi ", "you"), b": ping\n\n", chunk(finish="stop"), DONE], id="comments"),
        pytest.param([b"event: message\nid: 3\nretry: 9\n", *text("Hi ", "you"), DONE], id="other fields"),
        pytest.param(
            [chunk({"content": "Hi "}), chunk({"content": "you"}, finish="stop"), DONE], id="text with finish"
        ),
        pytest.param([chunk({"content": "Hi you", "reasoning_content": None}), DONE], id="more keys"),
        pytest.param([chunk({"reasoning_content": "hm"}), *text("Hi you"), DONE], id="reasoning"),
        pytest.param([chunk({"refusal": "Hi you"}), DONE], id="refusal"),
        pytest.param([chunk({"content": "Hi you"}).replace(b"data: ", b"data:"), DONE], id="no space"),
        pytest.param([chunk({"content": "Hi you"}).replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")], id="crlf"),
        pytest.param([*text("Hi ", "you"), DONE, *text("never")], id="more after the end"),
        pytest.param([*text("Hi ", "you"), DONE, HANG], id="kept open after the end"),
    ],
)
async def test_every_dialect_of_a_stream_gives_the_same_text(
    provider: Provider, model: OpenAIModel, parts: list[Part]
) -> None:
    provider.says(*parts)
    items = await collect(model)
    assert "".join(item for item in items if isinstance(item, str)) == "Hi you"
    assert items[-1] == Finish()


async def test_a_letter_cut_in_two_by_the_network_arrives_whole(provider: Provider, model: OpenAIModel) -> None:
    raw = 'data: {"choices":[{"index":0,"delta":{"content":"späť 🧭"}}]}\n\n'.encode() + DONE
    provider.says(*(raw[index : index + 1] for index in range(len(raw))))
    assert "".join(item for item in await collect(model) if isinstance(item, str)) == "späť 🧭"


async def test_connections_are_reused_after_complete_answers(provider: Provider, model: OpenAIModel) -> None:
    provider.says(*text("Hi"), chunk(finish="stop"), DONE)
    for _ in range(3):
        await collect(model)
    assert len(provider.connections) == 1


async def test_the_pool_is_bounded(provider: Provider) -> None:
    release = asyncio.Event()
    provider.says(*text("Hi"), release.wait, DONE)
    model = OpenAIModel("m", base_url=provider.url, max_connections=2)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(collect(model)) for _ in range(5)]
        while len(provider.requests) < 2:
            await asyncio.sleep(0)
        release.set()
    assert all("Hi" in task.result() for task in tasks)
    assert len(provider.connections) == 2
    await model.aclose()


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        pytest.param(
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
                [{"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"y"'}}],
                [{"index": 0, "function": {"arguments": '{"x":1}'}}],
                [{"index": 1, "function": {"arguments": ":2}"}}],
            ],
            [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')],
            id="interleaved",
        ),
        pytest.param(
            [[{"id": "a", "function": {"name": "f", "arguments": "{}"}}, {"id": "b", "function": {"name": "g"}}]],
            [("a", "f", "{}"), ("b", "g", "")],
            id="whole and without an index",
        ),
        pytest.param(
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
                [{"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}}],
            ],
            [("a", "f", "{}"), ("b", "f", "{}")],
            id="all numbered 0",
        ),
        pytest.param(
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x'}}],
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '":1}'}}],
            ],
            [("a", "f", '{"x":1}')],
            id="id and name repeated in every piece",
        ),
        pytest.param(
            [
                [{"index": 0, "id": "same", "function": {"name": "f", "arguments": "{}"}}],
                [{"index": 1, "id": "same", "function": {"name": "f", "arguments": "{}"}}],
            ],
            [("same", "f", "{}"), ("same_1", "f", "{}")],
            id="the same id twice",
        ),
        pytest.param(
            [[{"function": {"name": "f", "arguments": {"x": 1}}}], [{"function": {"name": "g", "arguments": None}}]],
            [("call_0", "f", '{"x":1}'), ("call_1", "g", "")],
            id="no ids, decoded arguments",
        ),
        pytest.param(
            [[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{broken"}}]],
            [("a", "f", "{broken")],
            id="broken JSON is handed on",
        ),
    ],
)
async def test_tool_calls_are_put_together_however_they_come(
    provider: Provider, model: OpenAIModel, deltas: list[Any], expected: list[tuple[str, str, str]]
) -> None:
    assert await calls_of(provider, model, *deltas) == expected


async def test_usage_of_the_last_chunk_is_reported(provider: Provider, model: OpenAIModel) -> None:
    provider.says(*text("Hi"), chunk(finish="stop", usage=None), usage(11, 2), DONE)
    assert (await collect(model))[-1] == Finish(usage=Usage(input_tokens=11, output_tokens=2))
    assert provider.requests[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("message", "gone", "instead"),
    [
        ("Unrecognized request argument supplied: stream_options", "stream_options", None),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens", 50),
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", "temperature", None),
    ],
)
async def test_a_parameter_that_the_server_does_not_know_is_left_out_from_then_on(
    provider: Provider, model: OpenAIModel, message: str, gone: str, instead: int | None
) -> None:
    provider.refuses(400, {"error": {"message": message}})
    provider.says(*text("Hi"), DONE)
    assert "Hi" in await collect(model)
    assert "Hi" in await collect(model)

    assert gone in provider.requests[0]
    assert [gone in request for request in provider.requests[1:]] == [False, False]
    assert provider.requests[1].get("max_completion_tokens") == instead


async def test_a_server_that_goes_on_refusing_is_not_asked_for_ever(provider: Provider, model: OpenAIModel) -> None:
    provider.refuses(400, {"detail": "unsupported: stream_options, max_tokens (max_completion_tokens), temperature"})
    with pytest.raises(InvalidRequest):
        await collect(model)
    assert len(provider.requests) == 4


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"error": {"code": "content_filter", "message": "flagged"}}, OutputRejected, "flagged"),
        (
            400,
            {"error": {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            OutputRejected,
            "no",
        ),
        (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}, InvalidRequest, "too long"),
        (404, {"detail": "Not Found"}, Permanent, "base URL"),
        (404, b"404 page not found", Permanent, "base URL"),
        (
            404,
            {"error": {"message": "The model `gone` does not exist."}},
            ModelNotFound,
            "`gone` does not exist.. The server does not know this model",
        ),
        (
            404,
            {"error": "model 'gone' not found, try pulling it first"},
            ModelNotFound,
            "check the name given as --model",
        ),
        (400, {"error": {"message": "no", "code": "model_not_found"}}, ModelNotFound, "--model"),
        (200, {"error": {"message": "no", "code": "model_not_found"}}, ModelNotFound, "--model"),
        (429, {"error": {"code": "insufficient_quota", "message": "pay"}}, Permanent, "quota"),
        (402, {"error": "pay"}, Permanent, "pay"),
        (302, b"", Permanent, "redirects"),
        (502, b"<html><body>Bad gateway</body></html>", Transient, "Bad gateway"),
        (500, b"\xff\xfe not text", Transient, "try again"),
        (500, b"x" * 200_000, Transient, "…"),
        (200, {"error": {"message": "model is loading"}}, Transient, "loading"),
        (200, {"choices": [{"message": {"content": "whole"}}]}, MalformedResponse, "instead of a stream"),
        (418, [1, 2], InvalidRequest, "418"),
    ],
)
async def test_each_refusal_has_its_error_with_the_address_and_a_bounded_message(
    provider: Provider, model: OpenAIModel, status: int, body: Any, kind: type[ModelError], said: str
) -> None:
    provider.refuses(status, body)
    with pytest.raises(ModelError) as caught:
        await collect(model)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert provider.url in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "boom", "code": 429}, RateLimited),
        ({"message": "boom", "code": "502"}, Transient),
        ({"message": "boom", "type": "server_error"}, Transient),
        ({"message": "boom", "type": "rate_limit_error"}, RateLimited),
        ({"message": "boom", "type": "invalid_request_error"}, InvalidRequest),
        ({"message": "boom", "type": "authentication_error"}, Authentication),
        ({"message": "boom", "code": "content_filter"}, OutputRejected),
        ("boom", Transient),
    ],
)
async def test_an_error_inside_the_stream_ends_it(
    provider: Provider, model: OpenAIModel, error: Any, kind: type[ModelError]
) -> None:
    provider.says(*text("Hi"), event({"error": error}), DONE)
    items = model.stream(REQUEST)
    assert await anext(items) == "Hi"
    with pytest.raises(ModelError, match="boom") as caught:
        await anext(items)
    assert type(caught.value) is kind


async def test_an_error_that_is_the_whole_event_ends_the_stream_too(provider: Provider, model: OpenAIModel) -> None:
    provider.says(event({"object": "error", "message": "boom", "code": 400}))
    with pytest.raises(InvalidRequest, match="boom"):
        await collect(model)


@pytest.mark.parametrize(
    "junk",
    [b"data: {not json\n\n", b"data: 3\n\n", event({"choices": 7}), event({"choices": [{"delta": {"content": 5}}]})],
)
async def test_junk_is_a_malformed_response(provider: Provider, model: OpenAIModel, junk: bytes) -> None:
    provider.says(junk)
    with pytest.raises(MalformedResponse, match="no chunk of a chat completion"):
        await collect(model)


async def test_an_event_without_end_is_refused(provider: Provider, model: OpenAIModel) -> None:
    provider.says(b"data: ", *([b"x" * 1024 * 1024] * 9))
    with pytest.raises(MalformedResponse, match="more than"):
        await collect(model)


@pytest.mark.parametrize("parts", [[b": nothing\n\n"], [*text("Hi")], [*text("Hi"), CUT], [CUT]])
async def test_a_stream_that_ends_too_early_is_transient(
    provider: Provider, model: OpenAIModel, parts: list[Part]
) -> None:
    provider.says(*parts)
    with pytest.raises(Transient):
        await collect(model)


async def test_a_filter_that_withholds_everything_is_an_error_and_one_that_cuts_is_a_reason(
    provider: Provider, model: OpenAIModel
) -> None:
    provider.says(chunk(finish="content_filter"), DONE)
    provider.says(*text("Hi"), chunk(finish="content_filter"), DONE)
    with pytest.raises(OutputRejected):
        await collect(model)
    assert (await collect(model))[-1] == Finish(reason="content_filter")


async def test_an_unreachable_server_is_named_with_the_way_out() -> None:
    async with serve() as gone:
        url = gone.url
    model = OpenAIModel("m", base_url=url.replace("//", "//user:hidden@") + "?api-key=hidden")
    with pytest.raises(Transient, match=r"cannot reach http://127\.0\.0\.1.*\(Connection refused\)") as caught:
        await collect(model)
    assert "hidden" not in str(caught.value)
    await model.aclose()


async def test_an_unknown_host_is_named() -> None:
    model = OpenAIModel("m", base_url="http://no-such-host.invalid/v1")
    with pytest.raises(Transient, match=r"no-such-host\.invalid"):
        await collect(model)
    await model.aclose()


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://", "http://[broken"])
def test_a_base_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(Permanent, match="no http"):
        OpenAIModel("m", base_url=url)


def test_a_key_that_cannot_be_sent_is_refused_without_showing_it() -> None:
    with pytest.raises(Authentication) as caught:
        OpenAIModel("m", api_key=SecretStr("sk-geh€im"))
    assert "geh" not in str(caught.value)


async def test_the_key_is_sent_trimmed_and_never_shown(provider: Provider, model: OpenAIModel) -> None:
    provider.says(*text("Hi"), DONE)
    await collect(model)
    assert provider.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(model)


async def test_a_word_that_is_no_secret_is_not_cut_out_of_messages(provider: Provider) -> None:
    provider.refuses(401, {"error": {"message": "no such key here"}})
    model = OpenAIModel("m", base_url=provider.url, api_key=SecretStr("key"))
    with pytest.raises(Authentication, match="no such key here"):
        await collect(model)
    await model.aclose()


async def test_text_that_is_no_unicode_is_an_invalid_request(model: OpenAIModel) -> None:
    with pytest.raises(InvalidRequest):
        await collect(model, ModelRequest(messages=(Message(role="user", content="\ud800"),)))


async def test_a_closed_model_says_so(provider: Provider, model: OpenAIModel) -> None:
    provider.says(*text("Hi"), DONE)
    await model.aclose()
    with pytest.raises(Permanent, match="closed"):
        await collect(model)
