"""What a server answered to a call, as a tool's result: text and data; what is neither is named, not shown."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tools.mcp.described import readable
from tools.results import ToolResult
from tools.serialise import MAX_CHARACTERS, to_result

if TYPE_CHECKING:
    from mcp.types import CallToolResult

_NAMED = 300
_FEWEST = 6


def result_of(answer: "CallToolResult", hide: Callable[[str], str]) -> ToolResult:
    """The result of a call that the server made.

    Args:
        hide: Takes credentials out of a text.
    """
    data = answer.structured_content
    if data is not None and data != {"result": text_of(answer)}:  # a text, in the form that data must have
        try:
            shown = to_result(data, limit=MAX_CHARACTERS)
        except TypeError:  # numbers that are too large, for one: the same is there as text
            return to_result(hide(text_of(answer)))
        # A server sends data as text, too, for clients that know only that; the rest is beside them.
        notes = [note for kind, note in _blocks(answer) if kind != "text"]
        plain = hide(shown.content)
        if plain == shown.content and not notes:
            return shown
        return to_result("\n".join([plain, *notes]))
    return to_result(hide(text_of(answer)))


def text_of(answer: "CallToolResult") -> str:
    """All that the server said, in its order."""
    return "\n".join(text for _, text in _blocks(answer)) or "(no content)"


def _blocks(answer: "CallToolResult") -> Iterator[tuple[str, str]]:
    left = MAX_CHARACTERS + 1  # one more than is kept, so that what is cut is said to be
    for block in answer.content:
        text = _block(block)[: max(left, 0)].encode("utf-8", "replace").decode()
        left -= len(text)
        if text:
            yield block.type, text


def _block(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}: {readable(block.mime_type, 80)}, {_size(block.data)} bytes, not shown]"
        case "resource_link":
            names = [block.title or block.name, *([block.mime_type] if block.mime_type else [])]
            return f"[resource: {readable(', '.join(names), _NAMED)}, {readable(str(block.uri), _NAMED)}]"
        case "resource":
            inner = block.resource
            where = readable(str(inner.uri), _NAMED)
            if hasattr(inner, "text"):
                return f"[resource {where}]\n{inner.text}"
            return f"[resource: {where}, {_size(inner.blob)} bytes, not shown]"
    return f"[{readable(str(block.type), 40)}: not shown]"


def _size(encoded: str) -> int:
    """How many bytes a base64 text stands for."""
    return len(encoded) * 3 // 4


def hiding(secrets: Sequence[str]) -> Callable[[str], str]:
    """A function that takes these out of a text; those too short to tell from other words are left."""
    hidden = sorted({each for each in secrets if len(each) >= _FEWEST}, key=len, reverse=True)

    def hide(text: str) -> str:
        for each in hidden:
            text = text.replace(each, "[credential]")
        return text

    return hide


def origin_of(url: str) -> str:
    """Where a URL leads, without what may be a secret of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
