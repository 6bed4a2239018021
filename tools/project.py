"""Importing a user's own code, whose folders may be called like Cairn's.

Cairn's packages have plain names (``tools``, ``models``, ``service`` …), and so may the packages of a user's project.
Both must work in one process: Cairn's own imports always mean Cairn, and an import in the user's file means the user's
neighbouring module where there is one. So a project is imported under a private package name, and the ``import``
statement of its modules looks for a neighbour before it looks anywhere else. Nothing is added to ``sys.path``.

Limits: ``importlib.import_module("tools.orders")``, and anything else that names a neighbour in a string (pickle,
``multiprocessing`` with spawn), does not see neighbours. An installed package with a name of its own has no limits:
that, or relative imports inside a package, is what larger projects should use.
"""

import builtins
import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_PREFIX = "_cairn_project_"
_INSTALLED = Path(__file__).resolve().parent.parent
PACKAGES = frozenset(
    {"agent", "cairn", "ingest", "memory", "models", "rails", "records", "retrieval", "service", "tools"}
)
"""Cairn's own top-level packages, as pyproject.toml lists them."""


def roots_of(module: str) -> list[Path] | None:
    """The roots of the project that loaded the module of this name; None when no project did."""
    if not module.startswith(_PREFIX):
        return None
    return [Path(root) for root in sys.modules[module.partition(".")[0]].__path__]


class Project:
    """Folders whose modules may import each other by their plain names.

    Args:
        roots: Where neighbours are looked for, in order. The folder in which Cairn itself is installed is left out.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        resolved = dict.fromkeys(root.resolve() for root in roots)
        self._roots = [root for root in resolved if root != _INSTALLED]
        digest = hashlib.sha256("\0".join(map(str, self._roots)).encode()).hexdigest()
        self._package = f"{_PREFIX}{digest[:12]}"

    def import_module(self, name: str) -> ModuleType:
        """The module called ``name``: a neighbour if there is one, else as Python would import it anywhere.

        Raises:
            Exception: Whatever importing it raises.
        """
        if not self._is_neighbour(name.partition(".")[0]):
            return importlib.import_module(name)
        self._register()
        return importlib.import_module(f"{self._package}.{name}")

    def load_file(self, path: Path) -> ModuleType:
        """The module in the file ``path``, loaded once. Inside a package it may use relative imports.

        Raises:
            Exception: Whatever running it raises.
        """
        path = path.resolve()
        own_name = _dotted_name(path, _INSTALLED)
        if own_name and _origin(own_name) == path:
            return importlib.import_module(own_name)
        self._register()
        for root in self._roots:
            dotted = _dotted_name(path, root)
            if dotted and _origin(f"{self._package}.{dotted}") == path:
                return importlib.import_module(f"{self._package}.{dotted}")
        return self._load_by_path(path)

    def _load_by_path(self, path: Path) -> ModuleType:
        # A name that is no identifier ("my-tools.py"), or one that another root takes first.
        name = f"{self._package}.{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        if name in sys.modules:
            return sys.modules[name]
        spec = spec_from_file_location(name, path, loader=_ProjectLoader(name, str(path), self._import))
        if spec is None or spec.loader is None:
            msg = f"cannot load {path}"
            raise ImportError(msg)
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _register(self) -> None:
        if self._package in sys.modules:
            return
        package = ModuleType(self._package)
        package.__path__ = [str(root) for root in self._roots]
        sys.modules[self._package] = package
        sys.meta_path.insert(0, _ProjectFinder(self._package, self._import))

    def _is_neighbour(self, top: str) -> bool:
        if top == "cairn" or top in sys.stdlib_module_names:
            return False
        if any(_is_module(root, top) for root in self._roots):
            return True
        # A mere folder is a namespace package, which gives way to any other package, as everywhere in Python.
        gives_way = top not in PACKAGES and _is_installed(top)
        return not gives_way and any(any((root / top).glob("*.py")) for root in self._roots)

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the names that Python calls it with
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What ``import`` means in the project's modules (see ``builtins.__import__``)."""
        top = name.partition(".")[0]
        if level or not self._is_neighbour(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        private = f"{self._package}.{name}"
        if fromlist:
            return builtins.__import__(private, globals, locals, fromlist, 0)
        importlib.import_module(private)
        return sys.modules[f"{self._package}.{top}"]


class _ProjectFinder:
    """Finds modules below a project's private package and gives them the project's ``import``."""

    def __init__(self, package: str, import_: Callable[..., ModuleType]) -> None:
        self._below = f"{package}."
        self._import = import_

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if not fullname.startswith(self._below):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _ProjectLoader(spec.loader.name, spec.loader.path, self._import)
        return spec


class _ProjectLoader(SourceFileLoader):
    """Runs a module with an ``__import__`` of its own: Python looks it up in the module's builtins."""

    def __init__(self, fullname: str, path: str, import_: Callable[..., ModuleType]) -> None:
        super().__init__(fullname, path)
        self._import = import_

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)


def _origin(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


def _is_module(root: Path, top: str) -> bool:
    return (root / f"{top}.py").is_file() or (root / top / "__init__.py").is_file()


def _is_installed(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except ValueError:
        return True  # a module in memory that was never found anywhere


def _dotted_name(path: Path, root: Path) -> str | None:
    if path.suffix != ".py" or not path.is_relative_to(root):
        return None
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None
