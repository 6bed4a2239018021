"""What a tool returned, as the text that a model reads and as JSON data."""

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import orjson
from pydantic import BaseModel, TypeAdapter

from tools.results import ToolResult

MAX_CHARACTERS = 32_000
"""The longest content of a result, about 8,000 tokens."""

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_TIMEDELTA = TypeAdapter(timedelta)


def to_result(value: Any, limit: int = MAX_CHARACTERS) -> ToolResult:
    """The result of a call that returned ``value``: text stays text, anything else becomes JSON.

    Money stays exact: a Decimal becomes a string. NaN and infinities, which JSON lacks, become null. A ToolResult
    passes as it is, but for its length.

    Raises:
        TypeError: Something in the value has no JSON form; the message names its type.
    """
    if isinstance(value, ToolResult):
        return _bounded(value, limit)
    if isinstance(value, str):
        return _bounded(ToolResult(content=_encodable(value), value=value), limit)
    encoded = to_json(value)
    return _bounded(ToolResult(content=encoded.decode(), value=orjson.loads(encoded)), limit)


def to_json(value: Any) -> bytes:
    """``value`` as JSON, by the rules of ``to_result``.

    Raises:
        TypeError: Something in the value has no JSON form; the message names its type.
    """
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise TypeError(str(error.__cause__ or error)) from error


def _bounded(result: ToolResult, limit: int) -> ToolResult:
    length = len(result.content)
    if length <= limit:
        return result
    content = f"{result.content[:limit]}\n[cut: the first {limit} of {length} characters; ask for less at a time]"
    metadata = {**result.metadata, "truncated": True, "characters": length}
    return dataclasses.replace(result, content=content, value=content, metadata=metadata)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = "a text with lone surrogates is not valid Unicode"
        raise TypeError(msg) from error
    return text


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            # By alias, as its schema names the fields: what is shown of arguments can be given as arguments again.
            return value.model_dump(mode="json", by_alias=True)
        case Decimal() | PurePath():
            return str(value)
        case timedelta():
            return _TIMEDELTA.dump_python(value, mode="json")
        case Mapping():
            return dict(value)
        case AbstractSet():
            return sorted(value, key=repr)
        case tuple():
            return value._asdict() if hasattr(value, "_asdict") else list(value)
        case bytes() | bytearray() | memoryview():
            msg = f"{type(value).__name__} is not JSON; return text, or a URL where the bytes are"
            raise TypeError(msg)
    msg = f"{type(value).__name__} has no JSON form; return plain data, a dataclass or a pydantic model"
    raise TypeError(msg)
