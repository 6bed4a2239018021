"""What tools keep open is closed with the service that they were loaded into."""

import json
from dataclasses import replace
from pathlib import Path

from cairn import HttpApi, from_openapi, tool
from models.messages import ToolCall
from models.scripted import ScriptedModel
from tests.support.back_end import back_end, json_answer
from tests.support.service import ask, running_service
from tools.loading import load_tools
from tools.toolset import Toolset, coerce


class Counted:
    """Counts how often it was closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


@tool
def look(number: int) -> str:
    """Look something up."""
    return str(number)


async def test_what_several_tools_share_is_closed_once() -> None:
    shared, own = Counted(), Counted()
    first = replace(coerce(look), resources=(shared, own))
    second = replace(coerce(look), spec=replace(coerce(look).spec, name="second"), resources=(shared,))
    await Toolset([first, second]).aclose()
    assert (shared.closed, own.closed) == (1, 1)


def test_the_apis_of_a_module_belong_to_its_tools(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from cairn import HttpApi, tool\n"
        "api = HttpApi('https://shop.example')\n"
        "@tool\n"
        "async def look(number: int) -> str:\n"
        "    return await api.get('/{n}', str, fields={'n': number})\n"
    )
    [found] = load_tools("mine.py", tmp_path)
    assert [repr(resource) for resource in found.resources] == ["HttpApi('https://shop.example')"]


def test_apis_are_found_where_adapters_hold_them(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass, field\n"
        "from cairn import HttpApi, tool\n"
        "@dataclass(frozen=True)\n"
        "class Market:\n"
        "    api: HttpApi\n"
        "    home: 'list[object]' = field(default_factory=list)\n"
        "one = Market(HttpApi('https://one.example'))\n"
        "one.home.append(one)\n"
        "MARKETS = {'a': one, 'b': (Market(HttpApi('https://two.example')),)}\n"
        "@tool\n"
        "async def look(number: int) -> str:\n"
        "    return 'x'\n"
    )
    [found] = load_tools("mine.py", tmp_path)
    assert [repr(resource) for resource in found.resources] == [
        "HttpApi('https://one.example')",
        "HttpApi('https://two.example')",
    ]


async def test_a_service_that_stops_closes_the_connections_of_its_tools(tmp_path: Path) -> None:
    document = {"openapi": "3.1.0", "paths": {"/things/{id}": {"get": {"operationId": "look"}}}}
    async with back_end() as end:
        end.on("*", json_answer({"id": 7}))
        api = HttpApi(end.url)
        model = ScriptedModel([[ToolCall(id="1", name="look", arguments=json.dumps({"id": "7"}))], ["Seven."]])
        async with running_service(tmp_path, model=model, tools=from_openapi(document, api)) as service:
            told = [event.data for event in await ask(service, "Look up 7.") if event.type == "tool.result"]
            assert told[0]["content"] == '{"id":7}'
            assert end.connections == 1
        await end.until_nobody_is_connected()
