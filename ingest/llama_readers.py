"""Any LlamaIndex reader as a source of documents: ``--reader module:Class``."""

import asyncio
import importlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ingest.items import Item, Unreadable

_PLACES = ("file_path", "url", "source", "path")
_FILES = ("input_files", "input_file", "file", "file_path", "path", "files", "paths")
_URLS = ("urls", "url")


class ReaderUnusable(Exception):
    """The reader cannot be imported or made; the message says why."""


async def read_with(
    spec: str, inputs: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> AsyncIterator[Item | Unreadable]:
    """The documents that a LlamaIndex reader loads, each input in turn.

    Args:
        spec: ``module:Class`` of a ``llama_index.core.readers.base.BaseReader``.
        inputs: Paths or URLs; given to the parameter of the reader that is named for them.
        settings: Keyword arguments of the class.

    Raises:
        ReaderUnusable: There is no such class, or it cannot be made.
    """
    make = await asyncio.to_thread(_find, spec)
    for given in inputs or ("",):
        try:
            documents = await asyncio.to_thread(_load, make, given, dict(settings or {}))
        except ReaderUnusable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a foreign reader raises is about this input
            place = _uri(given) or f"reader:{spec}"
            yield Unreadable(uri=place, code="reader_failed", reason=f"{type(error).__name__}: {error}", whole=True)
            continue
        for item in _items(spec, given, documents):
            yield item


def _find(spec: str) -> Callable[..., Any]:
    module, _, name = spec.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ReaderUnusable(f"there is no LlamaIndex reader {spec!r}: {error}; name it as module:Class") from error
    if not callable(getattr(found, "load_data", None)):
        raise ReaderUnusable(f"{spec!r} is not a LlamaIndex reader: it has no load_data")
    return found  # type: ignore[no-any-return]


def _load(make: Callable[..., Any], given: str, settings: dict[str, Any]) -> list[Any]:
    """Load an input, given to whichever of the constructor and ``load_data`` has a parameter for it."""
    arguments: dict[str, Any] = {}
    if given:
        made = _argument(make, given, folders=True)
        settings = {**made, **settings}
    try:
        reader = make(**settings)
    except TypeError as error:
        raise ReaderUnusable(f"the reader cannot be made: {error}") from error
    if given and not made:
        arguments = _argument(reader.load_data, given, folders=False)
        if not arguments:
            return list(reader.load_data(given))
    return list(reader.load_data(**arguments))


def _argument(function: Callable[..., Any], given: str, *, folders: bool) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    if folders and "input_dir" in names and Path(given).is_dir():
        return {"input_dir": given}
    for name in _URLS if "://" in given else _FILES:
        if name in names:
            value: str | Path = given if "://" in given else Path(given)
            return {name: [value] if name.endswith("s") else value}
    return {}


def _items(spec: str, given: str, documents: Sequence[Any]) -> list[Item | Unreadable]:
    places = [_place(document) or _uri(given) or f"reader:{spec}" for document in documents]
    several, numbers = Counter(places), Counter[str]()
    items: list[Item | Unreadable] = []
    for place, document in zip(places, documents, strict=True):
        numbers[place] += 1
        uri = place if several[place] == 1 else f"{place}#{numbers[place]}"
        metadata = {key: value for key, value in dict(document.metadata).items() if _is_plain(value)}
        title = metadata.get("title")
        items.append(
            Item(
                uri=uri,
                name=str(metadata.get("file_name") or uri.rpartition("/")[2] or uri),
                text=document.get_content(),
                title=title.strip() or None if isinstance(title, str) else None,
                metadata=metadata,
                remote="://" in place and not place.startswith("file:"),
            )
        )
    return items


def _place(document: Any) -> str | None:
    for key in _PLACES:
        if isinstance(value := document.metadata.get(key), str) and value:
            return _uri(value)
    return None


def _uri(place: str) -> str:
    return place if not place or "://" in place else Path(place).absolute().as_uri()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
