"""Tools are found in files, modules and entry points, whatever a user's own folders are called."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.errors import ToolLoadingError
from tools.loading import load_entry_points, load_tools
from tools.project import PACKAGES

CHECKOUT = Path(__file__).resolve().parents[2]
TOOL = (
    "from cairn import tool\n\n\n@tool\ndef {name}(order_id: int) -> str:\n    '''Find an order.'''\n    return 'x'\n"
)

LAUNCHER = """
import json, sys
from tools.loading import load_tools
found = load_tools(sys.argv[1])
import models.messages, service, tools.search
print(json.dumps({
    "names": [tool.name for tool in found],
    "descriptions": [tool.spec.description for tool in found],
    "cairn": [sys.modules[name].__file__ for name in ("tools", "models", "models.messages", "service")],
}))
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def run_from(project: Path, reference: str) -> dict[str, list[str]]:
    """Load ``reference`` in a process that starts like the ``cairn`` command: from a script in another folder."""
    script = write(project / "elsewhere", {"launch.py": LAUNCHER}) / "launch.py"
    environment = {"PYTHONPATH": str(CHECKOUT), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(script), reference], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


PROJECT = {
    "models/__init__.py": "from .order import Order\n",
    "models/order.py": "from pydantic import BaseModel\n\n\nclass Order(BaseModel):\n    number: int\n",
    "tools/__init__.py": "",
    "tools/back_end.py": "import models.order\n\ndef find(order): return models.order.Order(number=order.number)\n",
    "tools/orders.py": """
from cairn import tool
from models.order import Order
import tools.back_end
import helpers
from . import back_end as relative

assert relative is tools.back_end

@tool(description=helpers.DESCRIPTION)
def find_order(order: Order) -> Order:
    return tools.back_end.find(order)
""",
    "helpers.py": "DESCRIPTION = 'Find it, says the neighbour.'\n",
    "flat.py": "from tools.orders import find_order\nfrom models import Order\n",
    "service/__init__.py": "raise RuntimeError('the service of the user must not run')\n",
}


@pytest.mark.parametrize("reference", ["tools/orders.py", "flat.py", "tools.orders", "flat"])
def test_a_project_with_folders_called_tools_and_models_loads_beside_cairn(tmp_path: Path, reference: str) -> None:
    """The user's imports mean the user's modules; Cairn's own go on meaning Cairn's."""
    result = run_from(write(tmp_path, PROJECT), reference)

    assert result["names"] == ["find_order"]
    assert result["descriptions"] == ["Find it, says the neighbour."]
    assert all(Path(file).is_relative_to(CHECKOUT) for file in result["cairn"])


def test_folders_without_an_init_file_work_too(tmp_path: Path) -> None:
    files = {name: text for name, text in PROJECT.items() if not name.endswith("__init__.py")}
    files["flat.py"] = "from tools.orders import find_order\n"

    assert run_from(write(tmp_path, files), "flat.py")["names"] == ["find_order"]


async def test_a_loaded_tool_runs_with_its_neighbours(tmp_path: Path) -> None:
    found = load_tools("tools/orders.py", write(tmp_path, PROJECT))

    tool = found.get("find_order")
    assert tool is not None
    arguments = tool.validate('{"order": {"number": 7}}')
    assert arguments["order"].number == 7


def test_two_files_of_a_project_share_their_neighbours(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "shared.py": "CALLS = []\n",
            "one.py": "import shared\nshared.CALLS.append(1)\n" + TOOL.format(name="one"),
            "two.py": "import shared\nshared.CALLS.append(2)\nassert shared.CALLS == [1, 2]\n"
            + TOOL.format(name="two"),
        },
    )
    assert [tool.name for name in ("one.py", "two.py") for tool in load_tools(name, tmp_path)] == ["one", "two"]


def test_a_file_whose_name_is_no_identifier_loads(tmp_path: Path) -> None:
    write(tmp_path, {"my-tools.v2.py": TOOL.format(name="find")})
    assert [tool.name for tool in load_tools("my-tools.v2.py", tmp_path)] == ["find"]


@pytest.mark.parametrize("inside", ["data.yml", "setup.py"])
def test_a_folder_that_is_no_package_does_not_hide_an_installed_one(tmp_path: Path, inside: str) -> None:
    """A checkout of a library beside one's tools is no reason to lose the installed library."""
    code = "import yaml\nyaml.safe_load\n" + TOOL.format(name="find")
    write(tmp_path, {f"yaml/{inside}": "", "mine.py": code})
    assert len(load_tools("mine.py", tmp_path)) == 1


def test_the_names_that_users_may_share_with_cairn_are_those_of_its_packages() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES


def test_a_list_called_tools_decides_what_is_registered(tmp_path: Path) -> None:
    text = TOOL.format(name="first") + TOOL.format(name="second").partition("\n")[2] + "\nTOOLS = [second]\n"
    write(tmp_path, {"mine.py": text})
    assert [tool.name for tool in load_tools("mine.py", tmp_path)] == ["second"]


def test_a_class_is_registered_once_and_by_its_instance_where_there_is_one(tmp_path: Path) -> None:
    text = """
from cairn import tool

@tool
class FindOrder:
    '''Find an order.'''
    def __init__(self, url: str) -> None:
        self.url = url
    def __call__(self, number: int) -> str:
        return self.url

find_order = FindOrder('http://shop')
also = find_order
"""
    assert [tool.name for tool in load_tools("mine.py", write(tmp_path, {"mine.py": text}))] == ["find_order"]


def test_langchain_tools_are_found(tmp_path: Path) -> None:
    text = """
from langchain_core.tools import tool

@tool
def find_order(number: int) -> str:
    '''Find an order.'''
    return str(number)
"""
    found = load_tools("mine.py", write(tmp_path, {"mine.py": text}))
    assert [(tool.name, tool.effect) for tool in found] == [("find_order", "write")]


@pytest.mark.parametrize(
    ("files", "reference", "message"),
    [
        ({}, "gone.py", r"gone\.py: no such file"),
        ({"bad.py": "x = 1\ndef (:\n"}, "bad.py", r"syntax error in .*bad\.py, line 2"),
        ({"raises.py": "\n\n1 / 0\n"}, "raises.py", r"ZeroDivisionError: division by zero \(.*raises\.py, line 3\)"),
        ({"exits.py": "raise SystemExit(1)\n"}, "exits.py", "SystemExit"),
        ({"empty.py": "x = 1\n"}, "empty.py", "no tools in"),
        ({"listed.py": "TOOLS = [3]\n"}, "listed.py", "3 is no tool: decorate it with @tool"),
        ({"untyped.py": "from cairn import tool\n@tool\ndef f(x): ...\n"}, "untyped.py", "'x' needs a type.*line 2"),
        ({"missing.py": "import no_such_module\n"}, "missing.py", r"No module named 'no_such_module'.*line 1"),
        ({}, "no_such_module", "No module named 'no_such_module'"),
        ({}, "not a module", "neither a path to a .py file nor the name of a module"),
        ({"tools.py": TOOL.format(name="a") + "\n\nTOOLS = [a, tool(name='a')(lambda: 1)]\n"}, "tools.py", "two tools"),
    ],
)
def test_what_cannot_be_loaded_says_where_and_why(
    tmp_path: Path, files: dict[str, str], reference: str, message: str
) -> None:
    with pytest.raises(ToolLoadingError, match=message):
        load_tools(reference, write(tmp_path, files))


def test_installed_packages_announce_tools_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "acme_tools.py": TOOL.format(name="acme_order"),
            "acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n",
            "acme-1.0.dist-info/entry_points.txt": "[acme.test]\nall = acme_tools\none = acme_tools:acme_order\n",
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [tool.name for tool in load_entry_points("acme.test")] == ["acme_order"]
    assert len(load_entry_points("acme.none")) == 0
