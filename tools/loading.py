"""Finding the tools that a user wrote: in a file, in a module, or announced by installed packages."""

import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from tools.decorator import as_tool, is_marked
from tools.errors import ToolDefinitionError, ToolLoadingError
from tools.http.api import HttpApi
from tools.project import Project
from tools.source import ToolSource
from tools.tool import Tool
from tools.toolset import Toolset, coerce

ENTRY_POINT_GROUP = "cairn.tools"

_MOST_LISTED = 100  # whoever has more of something has data, not connectors


def load_tools(reference: str, folder: Path | None = None) -> Toolset:
    """The tools in ``path/to/file.py`` or in the module ``package.module``.

    They are those in the module's list ``TOOLS``, or, where it has none, everything in the module that was decorated
    with ``@tool``, is a ``Tool`` or a source of tools, or is a LangChain tool. Importing runs the user's code, so call
    this before serving.

    Args:
        reference: A path (it ends in ``.py`` or has a slash) or a dotted module name.
        folder: What relative paths and modules that are not installed are relative to; the working directory if None.

    Raises:
        ToolLoadingError: No such file or module, an error in it (with its line), no tools in it, or a name twice.
    """
    folder = folder or Path.cwd()
    module = _load_file(reference, folder) if _is_path(reference) else _load_module(reference, folder)
    return _toolset(_collect(module, reference), reference)


def load_entry_points(group: str = ENTRY_POINT_GROUP) -> Toolset:
    """The tools that installed packages announce under the entry point group ``cairn.tools``.

    An entry point names a module, one tool, or a list of tools.

    Raises:
        ToolLoadingError: An entry point cannot be loaded, or gives no tools.
    """
    found: list[Tool | ToolSource] = []
    for entry_point in entry_points(group=group):
        reference = f"{entry_point.name} = {entry_point.value}"
        try:
            target = entry_point.load()
        except Exception as error:
            raise _failed(reference, error) from error
        found.extend(_collect(target, reference) if isinstance(target, ModuleType) else _listed(target, reference))
    return _toolset(found, f"entry points {group}")


def _is_path(reference: str) -> bool:
    return reference.endswith(".py") or "/" in reference or "\\" in reference


def _load_file(reference: str, folder: Path) -> ModuleType:
    path = (folder / Path(reference).expanduser()).resolve()
    if not path.is_file():
        msg = f"{reference}: no such file (looked for {path})"
        raise ToolLoadingError(msg)
    root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    try:
        return Project([root, path.parent, folder]).load_file(path)
    except (Exception, SystemExit) as error:
        raise _failed(reference, error) from error


def _load_module(reference: str, folder: Path) -> ModuleType:
    if not all(part.isidentifier() for part in reference.split(".")):
        msg = f"{reference!r} is neither a path to a .py file nor the name of a module"
        raise ToolLoadingError(msg)
    try:
        return Project([folder]).import_module(reference)
    except (Exception, SystemExit) as error:
        raise _failed(reference, error) from error


def _failed(reference: str, error: BaseException) -> ToolLoadingError:
    if isinstance(error, SyntaxError):
        return ToolLoadingError(f"{reference}: syntax error in {error.filename}, line {error.lineno}: {error.msg}")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and not frame.filename.startswith(str(Path(__file__).parent))
    ]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return ToolLoadingError(f"{reference}: {type(error).__name__}: {error}{where}")


def _toolset(tools: Iterable[Tool | ToolSource], reference: str) -> Toolset:
    try:
        return Toolset(tools)
    except ToolDefinitionError as error:
        msg = f"{reference}: {error}"
        raise ToolLoadingError(msg) from error


def _collect(module: ModuleType, reference: str) -> list[Tool | ToolSource]:
    if hasattr(module, "TOOLS"):
        found = _listed(module.TOOLS, reference)
    else:
        found = [*map(coerce, _marked(module)), *_sources(module)]
    # An API that the module's functions call is theirs to keep open, though none of them says so.
    apis = tuple({id(api): api for api in _apis(list(vars(module).values()))}.values())
    if apis:
        found = [
            replace(each, resources=(*each.resources, *apis)) if isinstance(each, Tool) else each for each in found
        ]
    if not found:
        msg = f"{reference}: no tools in {module.__name__}; decorate a function with @tool (from cairn import tool)"
        raise ToolLoadingError(msg)
    return found


def _apis(value: Any, depth: int = 4) -> Iterator[HttpApi]:
    """The APIs in a value: itself, or in lists, tuples, dicts and dataclasses. Nothing of anybody else's is run."""
    kind = type(value)
    if isinstance(value, HttpApi):
        yield value
    elif not depth:
        return
    elif kind in {list, tuple, dict} and len(value) <= _MOST_LISTED:
        for each in value.values() if kind is dict else value:
            yield from _apis(each, depth - 1)
    elif is_dataclass(kind):
        for each in fields(kind):
            yield from _apis(getattr(value, each.name, None), depth - 1)


def _listed(target: Any, reference: str) -> list[Tool | ToolSource]:
    items = target if isinstance(target, Iterable) and as_tool(target) is None else [target]
    try:
        return [item if isinstance(item, ToolSource) else coerce(item) for item in items]
    except ToolDefinitionError as error:
        msg = f"{reference}: {error}"
        raise ToolLoadingError(msg) from error


def _sources(module: ModuleType) -> list[ToolSource]:
    found = {id(value): value for value in vars(module).values() if isinstance(value, ToolSource)}
    return list(found.values())


def _marked(module: ModuleType) -> Iterator[Any]:
    """What in the module is a tool, each once. A class stands for itself only where no instance of it does."""
    seen = {id(value): value for name, value in vars(module).items() if not name.startswith("__")}
    given = [value for value in seen.values() if _is_tool(value)]
    instances = tuple(type(value) for value in given if not inspect.isclass(value))
    for value in given:
        if not (inspect.isclass(value) and any(issubclass(instance, value) for instance in instances)):
            yield value


def _is_tool(value: Any) -> bool:
    if is_marked(value):
        return True
    langchain = sys.modules.get("langchain_core.tools")
    return langchain is not None and isinstance(value, langchain.BaseTool)
