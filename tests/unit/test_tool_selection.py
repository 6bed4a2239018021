"""Which of many tools a model is shown."""

from typing import Any

import pytest

from models.messages import ToolSpec
from tests.support.embedder import HashEmbedder
from tools.selection import EveryTool, HybridSelector, ToolSelector


def spec(name: str, description: str = "", examples: tuple[str, ...] = (), **parameters: Any) -> ToolSpec:
    required = [key for key, schema in parameters.items() if not schema.get("optional")]
    return ToolSpec(
        name=name,
        description=description,
        parameters={"type": "object", "properties": parameters, "required": required},
        examples=examples,
    )


TEXT = {"type": "string"}
TOOLS = [
    spec("get_invoice", "Look up an invoice.", invoice_id=TEXT),
    spec("book_room", "Reserve a meeting room.", examples=("Can we have the aquarium at noon?",)),
    spec("weather", "Tell the weather of a city.", city=TEXT),
    spec("list_employees", "List everybody who works here."),
    spec("search_customer", "Find people who buy from us.", query=TEXT),
    spec("get_orders", "List what was bought.", customer_id=TEXT),
    spec("delete_customer", "Forget somebody.", customer_id=TEXT),
    spec("translate", "Say a text in another language.", text={**TEXT, "description": "Say, a sentence in Finnish"}),
]


def selector(shown: int) -> HybridSelector:
    return HybridSelector(HashEmbedder(dimension=256).embed, shown)


async def shown(question: str, count: int, **options: Any) -> list[str]:
    return [each.name for each in await selector(count).select(question, TOOLS, **options)]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What is the weather like in the city of Cork?", "weather"),
        ("Look up invoices please", "get_invoice"),
        ("Is the aquarium free at noon?", "book_room"),  # only its example says so
        ("How is that in Finnish?", "translate"),  # only its parameter says so
    ],
)
async def test_the_tool_that_fits_comes_first(question: str, name: str) -> None:
    assert (await selector(1).ranked(question, TOOLS))[0].name == name


async def test_a_tool_that_takes_an_id_brings_the_one_that_finds_it() -> None:
    assert await shown("What was bought, as a list?", 2) == ["search_customer", "get_orders"]


async def test_what_finds_ids_does_not_itself_need_one() -> None:
    ranked = [each.name for each in await selector(1).ranked("What was bought, as a list?", TOOLS)]
    assert ranked.index("delete_customer") > 1


async def test_a_tool_with_an_effect_is_no_way_to_find_something() -> None:
    maker = ToolSpec(name="search_customer", description="Buy.", parameters=TOOLS[4].parameters, effect="write")
    others = [each for each in TOOLS if each.name != "search_customer"]
    ranked = [each.name for each in await selector(1).ranked("What was bought, as a list?", [maker, *others])]
    assert ranked[1] != "search_customer"


async def test_tools_are_shown_in_the_order_given_and_as_many_as_were_asked_for() -> None:
    names = [each.name for each in TOOLS]
    for count in range(1, 9):
        found = await shown("weather invoice room", count)
        assert len(found) == count
        assert found == sorted(found, key=names.index)


async def test_a_small_set_is_shown_whole_without_asking_the_embedder() -> None:
    embedder = HashEmbedder()
    assert await HybridSelector(embedder.embed, 8).select("anything", TOOLS) == tuple(TOOLS)
    assert embedder.calls == []


async def test_what_is_named_is_always_shown() -> None:
    assert "translate" in await shown("weather in the city", 1, always=["translate"])
    assert await shown("Run get_invoice on the weather of the city.", 1) == ["get_invoice"]
    assert await shown("weather", 3, always=["translate", "book_room", "no_such_tool"]) == [
        "book_room",
        "weather",
        "translate",
    ]


async def test_the_same_question_shows_the_same_tools() -> None:
    assert await shown("", 3) == await shown("", 3)
    assert len(await shown("", 3)) == 3


async def test_tools_are_embedded_once() -> None:
    embedder = HashEmbedder()
    hybrid = HybridSelector(embedder.embed, 2)
    await hybrid.select("first", TOOLS)
    done = sum(embedder.calls)
    await hybrid.select("second", TOOLS)
    assert sum(embedder.calls) == done + 1


async def test_every_tool_can_be_shown() -> None:
    every: ToolSelector = EveryTool()
    assert await every.select("x", TOOLS) == tuple(TOOLS)
