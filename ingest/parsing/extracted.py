"""What one parser makes of one document, before it is cleaned."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The pages of a document (one, when it has no pages of its own) and what it calls itself."""

    pages: tuple[str, ...]
    title: str | None = None
    paged: bool = False
