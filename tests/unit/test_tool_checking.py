"""Contract checks of tools, and the command that runs them."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from cairn import NOT_DONE, NotDone, ToolContext, tool
from tests.support.service import ROOT, cairn
from tools.checking import check_tools
from tools.loading import load_tools
from tools.toolset import coerce

Number = Annotated[int, Field(description="The order's number")]
EXAMPLES = ("Do it with order 7.",)


def messages(*functions: Any) -> list[str]:
    return [f"{each.level}: {each.message}" for each in check_tools([coerce(function) for function in functions])]


def test_a_tool_that_keeps_the_contract_has_no_findings() -> None:
    @tool(effect="write", idempotent=True, examples=EXAMPLES)
    def ship(number: Number, context: ToolContext) -> str:
        """Send an order on its way."""
        return f"{number} {context.idempotency_key}"

    assert messages(ship) == []


def test_the_shops_tools_keep_the_contract() -> None:
    found = check_tools(list(load_tools(str(ROOT / "examples" / "shop" / "tools.py"))))
    assert found == []


def unsaid(number: int) -> str:
    return str(number)


def described(number: Number) -> str:
    """Do something with an order."""
    return str(number)


def undone(number: Number) -> str | NotDone:
    """Ask the system of record."""
    return NOT_DONE if number else ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "it has no examples"),
        ({"name": "cancel_order"}, "its name says that it changes something, but its effect is read"),
        ({"effect": "write"}, "when its answer is lost, only a person can say"),
        ({"effect": "write", "idempotent": True}, "takes no ToolContext and so hands no idempotency_key on"),
        ({"effect": "irreversible", "autonomy": "auto", "reconcile": undone}, "cannot be undone, and autonomy='auto'"),
        ({"reconcile": undone}, "its verify and reconcile are never called"),
        ({"verify": described}, "its verify and reconcile are never called"),
    ],
)
def test_a_promise_that_does_not_hold_is_a_warning(options: Any, message: str) -> None:
    made = tool(**{"examples": () if not options else EXAMPLES, **options})(described)
    [found] = messages(made)
    assert found.startswith("warning: ")
    assert message in found


def test_what_a_model_has_to_guess_is_a_warning() -> None:
    found = messages(tool(examples=EXAMPLES)(unsaid))
    assert [each.split(" says")[0] for each in found] == [
        "warning: it has no description that",
        "warning: no description",
    ]
    assert found[1].endswith("what to give as number")


def test_a_value_in_the_schema_that_the_schema_refuses_is_a_warning() -> None:
    @tool(examples=EXAMPLES)
    def find(
        size: Annotated[int, Field(description="How many", le=9, examples=[3, 20])] = 10,
        kind: Annotated[str, Field(description="Which", pattern="^[a-z]+$")] = "all",
    ) -> str:
        """Find things of a size and a kind."""
        return f"{size} {kind}"

    assert messages(find) == [
        "warning: size: the example or default 20 does not fit its own schema",
        "warning: size: the example or default 10 does not fit its own schema",
    ]


def test_two_tools_with_one_example_are_a_warning() -> None:
    first = coerce(tool(name="one", examples=("Where is it?",))(described))
    second = coerce(tool(name="two", examples=("where is it? ",))(described))
    [found] = messages(first, second)
    assert "one has the same example" in found


def test_the_name_of_a_built_in_tool_is_an_error() -> None:
    [found] = messages(tool(name="search_documents", examples=EXAMPLES)(described))
    assert found == "error: search_documents is the name of a built-in tool; give it another"


PAGE = '''
from cairn import tool

@tool({options})
def look(number: int) -> str:
    """Look something up by its number."""
    return str(number)
'''


@pytest.mark.parametrize(
    ("options", "arguments", "code", "shown"),
    [
        ("examples=['Look up 7.']", [], 0, "look  read, auto\n  warning: no description says what to give as number\n"),
        ("examples=['Look up 7.']", ["--strict"], 1, "1 tools, 0 errors, 1 warnings"),
        ("name='search_documents'", [], 1, "error: search_documents is the name of a built-in tool"),
    ],
)
def test_the_command_says_what_is_wrong_and_how_bad_it_is(
    tmp_path: Path, options: str, arguments: list[str], code: int, shown: str
) -> None:
    (tmp_path / "mine.py").write_text(PAGE.format(options=options))
    done = cairn("tools", "check", "mine.py", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert shown in done.stdout


def test_the_command_speaks_json_and_names_what_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PAGE.format(options=""))
    found = json.loads(cairn("tools", "check", "mine.py", "--json", cwd=tmp_path).stdout)
    assert found["tools"] == ["look"]
    assert {finding["level"] for finding in found["findings"]} == {"warning"}
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    done = cairn("tools", "check", "broken.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "No module named 'nothing_of_that_name'" in done.stderr
