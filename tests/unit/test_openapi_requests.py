"""What tools of an OpenAPI document send: every style of parameter and body, to a real server, FastAPI's own too."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import pytest
import uvicorn
from fastapi import Depends, FastAPI, Form, Header, HTTPException, Query, Response, UploadFile
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from cairn import Bearer, HttpApi, HttpLimits, ToolContext, from_openapi
from records.principal import Principal
from tests.support.back_end import BackEnd, back_end, broken_answer, json_answer

CONTEXT = ToolContext(
    principal=Principal(), run_id="run", session_id="session", idempotency_key="run:1:0", collection="default"
)


@pytest.fixture
async def end() -> AsyncIterator[BackEnd]:
    async with back_end() as given:
        given.on("*", json_answer({"ok": True}))
        yield given


async def sent(end: BackEnd, path: str, operation: dict[str, Any], arguments: dict[str, Any]) -> Any:
    """What arrives when the operation's tool is called."""
    api = HttpApi(end.url)
    document = {"openapi": "3.0.0", "paths": {path: {"post" if "requestBody" in operation else "get": operation}}}
    [tool] = from_openapi(document, api)
    result = await tool.call(tool.validate(json.dumps(arguments)), CONTEXT)
    await api.aclose()
    assert result.value == {"ok": True}, result
    return end.asked[-1]


RGB = {"R": 100, "G": 200}


@pytest.mark.parametrize(
    ("style", "value", "pairs"),
    [
        ({}, "a b&c", [("p", "a b&c")]),
        ({}, True, [("p", "true")]),
        ({}, 1.5, [("p", "1.5")]),
        ({}, ["a", "b"], [("p", "a"), ("p", "b")]),
        ({"explode": False}, ["a", "b"], [("p", "a,b")]),
        ({"style": "pipeDelimited", "explode": False}, ["a", "b"], [("p", "a|b")]),
        ({"style": "spaceDelimited", "explode": False}, ["a", "b"], [("p", "a b")]),
        ({}, RGB, [("R", "100"), ("G", "200")]),
        ({"explode": False}, RGB, [("p", "R,100,G,200")]),
        ({"style": "deepObject", "explode": True}, RGB, [("p[R]", "100"), ("p[G]", "200")]),
        (
            {"style": "deepObject"},
            {"a": {"b": [1, 2]}, "c": None},
            [("p[a][b]", "1"), ("p[a][b]", "2")],
        ),
        ({"content": {"application/json": {"schema": {}}}}, {"a": [1]}, [("p", '{"a":[1]}')]),
        ({}, None, []),
    ],
)
async def test_a_query_parameter_is_written_in_its_style(end: BackEnd, style: Any, value: Any, pairs: Any) -> None:
    asked = await sent(end, "/x", {"parameters": [{"name": "p", "in": "query", **style}]}, {"p": value})
    assert parse_qsl(urlsplit(asked.target).query) == pairs


@pytest.mark.parametrize(
    ("style", "value", "target"),
    [
        ({}, 5, "/x/5/y"),
        ({}, "a/b c", "/x/a%2Fb%20c/y"),
        ({}, [3, 4], "/x/3%2C4/y"),
        ({"style": "label"}, 5, "/x/.5/y"),
        ({"style": "matrix"}, 5, "/x/;p-1=5/y"),
        ({"explode": True}, RGB, "/x/R%3D100%2CG%3D200/y"),
    ],
)
async def test_a_parameter_of_the_path_is_written_in_its_style(
    end: BackEnd, style: Any, value: Any, target: str
) -> None:
    parameter = {"name": "p-1", "in": "path", "required": True, **style}
    assert (await sent(end, "/x/{p-1}/y", {"parameters": [parameter]}, {"p-1": value})).target == target


async def test_headers_and_cookies_are_sent_as_such(end: BackEnd) -> None:
    parameters = [
        {"name": "X-Ids", "in": "header", "schema": {"type": "array"}},
        {"name": "seen[1]", "in": "cookie"},
        {"name": "lang", "in": "cookie"},
    ]
    asked = await sent(end, "/x", {"parameters": parameters}, {"X-Ids": [1, 2], "seen_1": "a;b=c", "lang": "en"})
    assert asked.headers["X-Ids"] == "1,2"
    assert asked.headers["Cookie"] == "seen[1]=a%3Bb%3Dc; lang=en"


OBJECT = {"type": "object", "properties": {"a": {}, "b": {}}}


@pytest.mark.parametrize(
    ("media_type", "schema", "arguments", "body"),
    [
        ("application/json", OBJECT, {"a": 1, "b": [None]}, '{"a":1,"b":[null]}'),
        ("application/json", OBJECT, {}, "{}"),
        ("*/*", {"type": "array"}, {"body": [1, "x"]}, '[1,"x"]'),
        ("application/merge-patch+json", OBJECT, {"a": None}, '{"a":null}'),
        (
            "application/x-www-form-urlencoded",
            OBJECT,
            {"a": ["x", "y z"], "b": {"c": 1}},
            "a=x&a=y+z&b=%7B%22c%22%3A1%7D",
        ),
        ("text/plain", {"type": "string"}, {"body": "héllo"}, "héllo"),
    ],
)
async def test_a_body_is_sent_as_its_media_type(
    end: BackEnd, media_type: str, schema: Any, arguments: Any, body: str
) -> None:
    content = {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}
    asked = await sent(end, "/x", content, arguments)
    assert asked.body == body
    assert asked.headers["Content-Type"].partition(";")[0] == media_type.replace("*/*", "application/json")
    assert asked.headers["Idempotency-Key"] == "run:1:0"


async def test_an_argument_cannot_lead_elsewhere_or_add_a_header(end: BackEnd) -> None:
    api = HttpApi(end.url)
    parameters = [{"name": "id", "in": "path"}, {"name": "X-A", "in": "header"}]
    [tool] = from_openapi({"openapi": "3.1.0", "paths": {"/x/{id}": {"post": {"parameters": parameters}}}}, api)
    for arguments in ({"id": "../admin"}, {"id": ".."}, {"id": ""}, {"id": 1, "X-A": "a\r\nX-B: c"}):
        result = await tool.call(tool.validate(json.dumps(arguments)), CONTEXT)
        assert result.failure == "failed", result
    assert end.asked == []
    await api.aclose()


async def test_what_a_back_end_answers_becomes_a_result_or_one_of_the_failures(end: BackEnd) -> None:
    api = HttpApi(end.url, limits=HttpLimits(attempts=1))
    paths = {"/x": {"post": {"operationId": "write"}, "get": {"operationId": "read"}}}
    read, write = sorted(from_openapi({"openapi": "3.1.0", "paths": paths}, api), key=lambda tool: tool.name)
    expected = [
        (json_answer({"detail": "Too many."}, 422), "failed", "failed", "Too many."),
        (json_answer(None, 500), "failed", "unknown", "answered 500"),
        (broken_answer, "failed", "unknown", "broke"),
    ]
    for answer, of_read, of_write, told in expected:
        end.on("*", answer)
        for tool, failure in ((read, of_read), (write, of_write)):
            result = await tool.call({}, CONTEXT)
            assert result.failure == failure
            assert told in result.content
    await api.aclose()


# FastAPI's own document


class Line(BaseModel):
    sku: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d+$", examples=["PET-500"])]
    quantity: Annotated[int, Field(ge=1)] = 1


class NewOrder(BaseModel):
    lines: list[Line]
    wanted: date | None = None
    gift: bool = False


class Node(BaseModel):
    name: str
    children: "list[Node]" = []


def shop() -> FastAPI:
    app = FastAPI()
    orders: dict[str, NewOrder] = {}
    bearer = Depends(HTTPBearer())

    @app.get("/orders", dependencies=[bearer])
    def list_orders(
        state: Literal["new", "sent"] | None = None,
        ids: Annotated[list[int] | None, Query(alias="id")] = None,
        x_trace: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        """All orders."""
        return {"state": state, "ids": ids, "trace": x_trace}

    @app.post("/orders", status_code=201, dependencies=[bearer])
    def place_order(order: NewOrder, idempotency_key: Annotated[str, Header()]) -> dict[str, Any]:
        """Place an order."""
        orders.setdefault(idempotency_key, order)
        return {"orders": len(orders), "wanted": order.wanted}

    @app.delete("/orders/{order_id}", status_code=204, dependencies=[bearer])
    def cancel_order(order_id: int) -> Response:
        if order_id > 10:
            raise HTTPException(404, "There is no such order.")
        return Response(status_code=204)

    @app.post("/notes")
    def note(text: Annotated[str, Form()], tags: Annotated[list[str] | None, Form()] = None) -> list[Any]:
        return [text, tags]

    @app.put("/tree")
    def tree(root: Node) -> int:
        return 1 + sum(map(tree, root.children))

    @app.post("/files")
    def upload(file: UploadFile) -> str | None:
        return file.filename

    return app


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        task = asyncio.create_task(server._serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await task


async def test_fastapis_own_document_becomes_tools_that_work() -> None:
    app = shop()
    async with serving(app) as url:
        api = HttpApi(url, auth=Bearer("t0ken-123456"))
        found = {tool.name: tool for tool in from_openapi(app.openapi(), api)}
        assert list(found) == ["list_orders", "place_order", "cancel_order", "note", "tree"]

        async def call(tool_name: str, /, **arguments: Any) -> Any:
            tool = found[tool_name]
            result = await tool.call(tool.validate(json.dumps(arguments)), CONTEXT)
            return result.value if result.failure is None else (result.failure, result.content)

        assert await call("list_orders", state="new", id=[1, 2], **{"x-trace": "t"}) == {
            "state": "new",
            "ids": [1, 2],
            "trace": "t",
        }
        order = {"lines": [{"sku": "PET-500", "quantity": 2}], "wanted": "2026-01-31", "gift": True}
        for _ in range(2):  # the second one under the same key
            assert await call("place_order", **order) == {"orders": 1, "wanted": "2026-01-31"}
        assert found["place_order"].idempotent
        assert await call("cancel_order", order_id=3) is None
        missing = await call("cancel_order", order_id=11)
        assert missing[0] == "failed"
        assert "the back end answered 404: There is no such order." in missing[1]
        assert await call("note", text="a", tags=["x", "y"]) == ["a", ["x", "y"]]
        assert await call("tree", name="r", children=[{"name": "a", "children": [{"name": "b"}]}, {"name": "c"}]) == 4
        # What the back end would refuse is refused before it is asked.
        with pytest.raises(ValueError, match=r"lines\.0\.sku: must match"):
            found["place_order"].validate('{"lines": [{"sku": "pet"}]}')
        await api.aclose()
