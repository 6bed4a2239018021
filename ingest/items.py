"""What goes into ingestion: documents as their source hands them over, or the reason why it could not."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNKNOWN_TYPE = "application/octet-stream"
"""What a sender says that does not know the type (RFC 2046, section 4.5.1): the same as saying nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A document to ingest: where it is from, and its content as exactly one of ``path``, ``data`` and ``text``.

    Attributes:
        uri: Identifies the document within its collection; ingesting the same URI again replaces it.
        name: Its file name, a hint at its format and its title when it has none.
        text: Text that needs no parsing (Markdown).
        title: Overrides what the document calls itself.
        media_type: What the sender says it is, never ``UNKNOWN_TYPE``.
        remote: Whether it came from elsewhere (an upload, a URL): a trusted collection does not trust it.
    """

    uri: str
    name: str
    path: Path | None = None
    data: bytes | None = None
    text: str | None = None
    title: str | None = None
    media_type: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    remote: bool = False

    def __post_init__(self) -> None:
        if (self.path, self.data, self.text).count(None) != 2:
            raise ValueError("an item has exactly one of path, data and text")

    def digest(self) -> tuple[str, int]:
        """SHA-256 (hex) and length in bytes of the content; reads a file without holding it in memory.

        Raises:
            OSError: The file cannot be read.
        """
        if self.path is not None:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
                return digest.hexdigest(), file.tell()
        content = self.data if self.data is not None else (self.text or "").encode("utf-8", "surrogatepass")
        return hashlib.sha256(content).hexdigest(), len(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Something that a source could not hand over.

    Attributes:
        code: A stable word, such as ``not_found``.
        whole: Whether documents may stand behind it (a folder that cannot be listed): nothing under it is pruned.
    """

    uri: str
    code: str
    reason: str
    whole: bool = False
