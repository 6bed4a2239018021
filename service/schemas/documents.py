"""Bodies about documents."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from retrieval.documents import Trust
from service.schemas.fields import Metadata, Name


class DocumentFields(BaseModel):
    """What may be said about a document besides its content."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] | None = None
    uri: str | None = Field(
        default=None, min_length=1, max_length=2000, description="What it is known by; made from its name if absent."
    )
    name: str | None = Field(
        default=None, min_length=1, max_length=2000, description="Its file name, where the form cannot carry it whole."
    )
    metadata: Metadata = Field(default_factory=dict, max_length=50, description="Filterable.")
    collection: Name | None = Field(default=None, description="The service's default if absent.")
    acl: list[Name] | None = Field(default=None, max_length=100, description="Groups that may read it; all if absent.")
    trust: Trust | None = Field(default=None, description="Only an administrator may say `trusted`.")
    remote: bool = Field(
        default=True,
        description="Whether it comes from elsewhere, so that a trusted collection does not trust it. Only an "
        "administrator's `false` counts.",
    )


class DocumentText(DocumentFields):
    """A document given as text (Markdown)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"title": "Opening hours", "text": "We open at 9.", "metadata": {"lang": "en"}}]
        },
    )

    text: Annotated[str, StringConstraints(min_length=1)]

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.title is None and self.name is None:
            raise ValueError("a text needs a `title`, or at least a `name`")
        return self


class DocumentBody(BaseModel):
    """A document as it stands now."""

    id: str
    collection: str
    uri: str
    title: str
    media_type: str
    version: str
    acl: list[str]
    metadata: dict[str, Any]
    trust: Trust
    size: int
    chunk_count: int
    created_at: datetime
    updated_at: datetime


class DocumentDetail(DocumentBody):
    """A document with the parsed text of one of its versions: what spans of sources refer to."""

    text: str


Outcome = Literal["added", "changed", "unchanged"]


class IngestResult(BaseModel):
    """What came of one upload."""

    outcome: Outcome
    document: DocumentBody | None = Field(description="None after a dry run.")


class DocumentList(BaseModel):
    """A page of documents, by id."""

    items: list[DocumentBody]
    next_cursor: str | None
