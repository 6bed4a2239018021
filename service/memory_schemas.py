"""The schemas of memory's kinds, loaded from where the settings say."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from memory.drafting import Schemas
from memory.records import Kind
from tools.project import Project


class SchemaLoadingError(Exception):
    """A schema that the settings name cannot be loaded, or is no pydantic model."""


def load_schemas(references: Mapping[Kind, str], folder: Path | None = None) -> Schemas:
    """The pydantic models that the values of the kinds must look like.

    Args:
        references: ``module:Model`` by kind.
        folder: What modules that are not installed are relative to; the working directory if None.

    Raises:
        SchemaLoadingError: One of them is not there.
    """
    project = Project([folder or Path.cwd()])
    return {kind: _load(project, kind, reference) for kind, reference in references.items()}


def _load(project: Project, kind: str, reference: str) -> type[BaseModel]:
    module, _, name = reference.partition(":")
    try:
        found = getattr(project.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise SchemaLoadingError(f"memory.schemas.{kind} = {reference!r}: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise SchemaLoadingError(f"memory.schemas.{kind} = {reference!r} is no pydantic model")
    return found
