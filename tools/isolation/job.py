"""What a process is told about the tool that it is to run, above all where it finds it again."""

import importlib
import inspect
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tools.errors import ToolDefinitionError
from tools.project import Project, roots_of
from tools.results import Effect

LENGTH = struct.Struct("!I")
"""What stands before every message between the two processes."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The module and the name of a function or class, as ``tools.loading`` loaded it.

    Attributes:
        file: The module's file; loaded by path, with ``roots`` as its project, where ``roots`` are given.
    """

    module: str
    name: str
    file: Path | None
    roots: tuple[Path, ...] | None

    @classmethod
    def of(cls, target: Any) -> Self:
        """Where ``target`` is.

        Raises:
            ToolDefinitionError: It has no name by which another process could find it.
        """
        name = getattr(target, "__qualname__", "")
        if not name or "<" in name or not (inspect.isclass(target) or inspect.isfunction(target)):
            msg = (
                f"{target!r} cannot run in a process of its own: it has to be a function or a class "
                "that is defined at the top of a module, so that another process finds it"
            )
            raise ToolDefinitionError(msg)
        module = target.__module__
        origin = getattr(sys.modules.get(module), "__file__", None)
        file = Path(origin).resolve() if origin else None
        roots = roots_of(module)
        if module == "__main__" and file:
            roots = [file.parent]
        return cls(module, name, file, None if roots is None else tuple(roots))

    def find(self) -> Any:
        """The function or class, imported in this process.

        Raises:
            Exception: Whatever importing its module raises.
        """
        if self.file is not None and self.roots is not None:
            found: Any = Project(self.roots).load_file(self.file)
        else:
            found = importlib.import_module(self.module)
        for name in self.name.split("."):
            found = getattr(found, name)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a process is told once.

    Attributes:
        memory_bytes: What it may write to, its libraries included.
    """

    whereabouts: Whereabouts
    name: str
    effect: Effect
    memory_bytes: int
