"""Bodies of searches, and of the sources that runs and searches find."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from retrieval.documents import Trust
from service.schemas.fields import Name


class SourceBody(BaseModel):
    """A passage that was retrieved, with its provenance. ``start`` and ``end`` are code points of the parsed text."""

    label: int = Field(examples=[1])
    document_id: str
    version: str
    collection: str
    uri: str
    title: str
    heading_path: list[str]
    page: int | None
    start: int
    end: int
    text: str
    table_head: str = ""
    trust: Trust
    score: float
    scores: dict[str, float]
    metadata: dict[str, Any]


class SearchRequest(BaseModel):
    """A search without an answer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"query": "return opened headphones"}]})

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    collection: Name | None = None
    limit: int = Field(default=8, ge=1, le=50)
    mode: Literal["hybrid", "dense", "bm25"] = "hybrid"
    metadata: dict[str, str | int | bool] = Field(
        default_factory=dict, max_length=20, description="Only documents with these values."
    )


class SearchResult(BaseModel):
    """What a search found, best first."""

    items: list[SourceBody]
