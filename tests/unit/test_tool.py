"""A typed function becomes a tool: what the model is told, and which arguments are taken."""

import enum
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from cairn import Tool, ToolContext, tool
from tools.decorator import as_tool
from tools.errors import ToolDefinitionError
from tools.signature import ArgumentsError
from tools.toolset import coerce


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str
    count: int = Field(default=1, ge=1)


@tool(effect="write", timeout=5, examples=["Order two red lamps"])
async def place_order(
    context: ToolContext,
    items: list[Item],
    colour: Colour,
    *,
    speed: Literal["slow", "fast"] = "slow",
    gift_for: Optional[str] = None,  # noqa: UP045 - this spelling must work too
    copy: Annotated[int, Field(description="How often.", le=3)] = 1,
    price: Decimal = Field(default=Decimal("1.50"), description="In euros."),  # noqa: B008 - FastAPI's spelling
    due: date | None = None,
) -> str:
    """Place an order
    for a customer.

    A second paragraph for readers of the code.

    Args:
        items: What to order,
            each with its count.
        gift_for (str): Whose gift it is.
        copy: Not shown, because the Field says it better.

    Returns:
        The order's number: text.
    """
    return f"{context.run_id} {items} {colour} {speed} {gift_for} {copy} {price} {due}"


def made(target: Any) -> Tool:
    return coerce(target)


def test_the_model_is_told_name_purpose_and_schema() -> None:
    spec = made(place_order).spec

    assert (spec.name, spec.description) == ("place_order", "Place an order for a customer.")
    assert spec.examples == ("Order two red lamps",)
    assert dict(spec.parameters) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["items", "colour"],
        "properties": {
            "items": {
                "type": "array",
                "items": {"$ref": "#/$defs/Item"},
                "description": "What to order, each with its count.",
            },
            "colour": {"$ref": "#/$defs/Colour"},
            "speed": {"type": "string", "enum": ["slow", "fast"], "default": "slow"},
            "gift_for": {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "default": None,
                "description": "Whose gift it is.",
            },
            "copy": {"type": "integer", "maximum": 3, "default": 1, "description": "How often."},
            "price": spec.parameters["properties"]["price"],
            "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
        },
        "$defs": spec.parameters["$defs"],
    }
    assert spec.parameters["properties"]["price"]["description"] == "In euros."
    assert spec.parameters["$defs"]["Colour"]["enum"] == ["red", "blue"]


def test_effect_and_timeout_are_kept() -> None:
    assert (made(place_order).effect, made(place_order).timeout) == ("write", 5)


def test_arguments_become_python_values_with_defaults() -> None:
    arguments = made(place_order).validate('{"items": [{"sku": "a"}], "colour": "red", "due": "2026-01-31"}')
    assert arguments == {
        "items": [Item(sku="a", count=1)],
        "colour": Colour.RED,
        "speed": "slow",
        "gift_for": None,
        "copy": 1,
        "price": Decimal("1.50"),
        "due": date(2026, 1, 31),
    }


@pytest.mark.parametrize(
    ("arguments", "failure", "said"),
    [
        ("{", "malformed_arguments", "not valid JSON"),
        ("[]", "malformed_arguments", "one JSON object"),
        ("3", "malformed_arguments", "one JSON object"),
        ("", "invalid_arguments", "items: required"),
        ("{}", "invalid_arguments", "colour: required"),
        ('{"items": [{"sku": "a", "count": 0}], "colour": "red"}', "invalid_arguments", "items.0.count: input should"),
        ('{"items": [], "colour": "green"}', "invalid_arguments", "(got 'green')"),
        ('{"items": [], "colour": "red", "color": "red"}', "invalid_arguments", "color: no such argument"),
        ('{"items": [], "colour": "red", "context": {}}', "invalid_arguments", "context: no such argument"),
    ],
)
def test_arguments_that_do_not_fit_are_explained_field_by_field(arguments: str, failure: str, said: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        made(place_order).validate(arguments)
    assert caught.value.failure == failure
    assert said in str(caught.value)


def test_an_explanation_is_bounded() -> None:
    many = ", ".join(f'"x{index}": "{"y" * 1000}"' for index in range(100))
    with pytest.raises(ArgumentsError) as caught:
        made(place_order).validate(f"{{{many}}}")
    assert len(str(caught.value)) < 1500
    assert "more" in str(caught.value)


def test_a_decorated_function_stays_a_plain_function() -> None:
    @tool
    def double(number: int) -> int:
        """Double it."""
        return number * 2

    assert double(4) == 8
    assert double.__name__ == "double"


def test_a_class_is_constructed_when_it_is_registered() -> None:
    @tool(name="weather")
    class WeatherReport:
        """The weather of a place."""

        def __init__(self, unit: str = "C") -> None:
            self.unit = unit

        def run(self, place: str) -> str:
            """Report.

            Args:
                place: A town.
            """
            return f"{place} {self.unit}"

    found = made(WeatherReport)
    assert (found.name, found.spec.description) == ("weather", "The weather of a place.")
    assert found.spec.parameters["properties"] == {"place": {"type": "string", "description": "A town."}}
    assert made(WeatherReport("F")).name == "weather"


def test_a_class_without_options_is_named_in_snake_case() -> None:
    @tool
    class FindOrder:
        """Find it."""

        def __call__(self, number: int) -> int:
            return number

    assert made(FindOrder).name == "find_order"


def test_an_instance_can_be_made_a_tool() -> None:
    class Finder:
        """Finds."""

        def __call__(self, number: int) -> int:
            return number

    assert made(tool(Finder())).name == "finder"


def test_parameters_may_have_any_name() -> None:
    @tool
    def odd(schema: str, json: int, model_config: bool, _hidden: int = 1) -> None:
        """Odd names."""

    assert made(odd).validate('{"schema": "a", "json": 1, "model_config": true, "_hidden": 2}') == {
        "schema": "a",
        "json": 1,
        "model_config": True,
        "_hidden": 2,
    }


def untyped(x) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    ...


def starred(*numbers: int) -> None: ...


def positional(number: int, /) -> None: ...


def unknown_type(number: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    ...


def no_schema(callback: Callable[[], int]) -> None: ...


def yielding() -> Iterator[int]:
    yield 1


class NotCallable: ...


class NeedsUrl:
    def __init__(self, url: str) -> None: ...

    def run(self, number: int) -> None: ...


@pytest.mark.parametrize(
    ("define", "said"),
    [
        (partial(tool, untyped), "'x' needs a type annotation"),
        (partial(tool, starred), "cannot be given by name"),
        (partial(tool, positional), "cannot be given by name"),
        (partial(tool, unknown_type), "'Nowhere' is not defined"),
        (partial(tool, no_schema), "no JSON schema"),
        (partial(tool, yielding), "return a list"),
        (partial(tool, NotCallable), "neither __call__ nor run"),
        (lambda: made(tool(NeedsUrl)), "register an instance"),
        (lambda: tool(name="no spaces")(lambda: None), "use 1 to 64 of"),
        (lambda: tool(name="x" * 65)(lambda: None), "use 1 to 64 of"),
        (lambda: tool(name="x", effect="destroy")(lambda: None), "none of read, write, irreversible"),  # type: ignore[call-overload]
        (lambda: tool(name="x", timeout=0)(lambda: None), "more than 0 seconds"),
        (lambda: tool("text".upper), "takes no attributes"),
        (lambda: made(3), "3 is no tool"),
    ],
)
def test_what_cannot_be_a_tool_says_why(define: Callable[[], object], said: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        define()
    assert said in str(caught.value)


def test_what_was_never_decorated_is_no_tool() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    assert as_tool(Proxy()) is None
    assert as_tool(untyped) is None
