"""The built-in tool that lets a model search the documents again, in words of its own."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field

from records.principal import Principal
from retrieval.documents import Source
from tools.decorator import ToolOptions, make_tool
from tools.results import ToolContext, ToolResult
from tools.tool import Tool

SEARCH_DOCUMENTS = "search_documents"


class Searcher(Protocol):
    """What finds passages: the retriever, seen from a tool."""

    async def search(self, query: str, principal: Principal, collection: str, limit: int) -> Sequence[Source]:
        """The best passages that the principal may read, best first."""
        ...


def search_documents_tool(searcher: Searcher, timeout: float = 30.0) -> Tool:
    """The tool ``search_documents``, which searches the run's collection on behalf of the run's principal."""

    async def search_documents(
        query: Annotated[str, Field(min_length=1, max_length=2000, description="What to look for, in plain words.")],
        context: ToolContext,
        limit: Annotated[int, Field(ge=1, le=20, description="How many passages to return.")] = 5,
    ) -> ToolResult:
        """Search the documents for passages about something that the passages at hand do not answer."""
        sources = tuple(await searcher.search(query, context.principal, context.collection, limit))
        # The run adds the sources to the model's passages, with labels to cite; their text need not be said twice.
        content = (
            "\n".join(["Found, and added to the passages:", *map(_title, sources)]) if sources else "Nothing found."
        )
        return ToolResult(content=content, value=[_passage(source) for source in sources], sources=sources)

    return make_tool(search_documents, ToolOptions(timeout=timeout))


def _title(source: Source) -> str:
    page = f", page {source.page}" if source.page else ""
    return f"- {' > '.join((source.title, *source.heading_path))}{page}"


def _passage(source: Source) -> dict[str, Any]:
    shown = {
        "title": source.title,
        "heading": " > ".join(source.heading_path),
        "page": source.page,
        "uri": source.uri,
        "text": source.readable,
    }
    return {key: value for key, value in shown.items() if value not in ("", None)}
