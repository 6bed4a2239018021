"""Within what an answer may be given again: whatever differs here keeps two questions apart, however alike they are."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import orjson

from records.principal import Principal


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Who asks, of which documents, and what the answer is made with.

    Attributes:
        groups: The asker's ACL groups: an answer stays among those who may read the same documents.
        config: Stands for everything else that shapes an answer: settings, model, tools.
        language: What the question is asked in.
        reads_all: Whether the asker reads every document whatever its ACL.
    """

    tenant: str
    groups: frozenset[str]
    collection: str
    config: str
    language: str
    reads_all: bool = False

    @classmethod
    def of(cls, principal: Principal, collection: str, config: str, language: str) -> "Scope":
        """The scope of what a principal asks."""
        return cls(
            tenant=principal.tenant,
            groups=principal.groups,
            collection=collection,
            config=config,
            language=language,
            reads_all=principal.reads_all,
        )

    @cached_property
    def key(self) -> str:
        """The same for equal scopes, and for no others: SHA-256 (hex) of all of it."""
        parts = [self.tenant, sorted(self.groups), self.collection, self.config, self.language, self.reads_all]
        return sha256(orjson.dumps([_whole(part) for part in parts])).hexdigest()


def _whole(part: object) -> object:
    """The part with halves of surrogate pairs, which no JSON takes, written out."""
    if isinstance(part, str):
        return part.encode("utf-8", "surrogatepass").hex()
    return [_whole(each) for each in part] if isinstance(part, list) else part
