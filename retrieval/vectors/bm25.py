"""BM25 weights, the same for every store."""

from __future__ import annotations

from typing import Any

from retrieval.errors import RetrievalError


class Bm25Models:
    """Qdrant's BM25 in the languages asked for: k1 1.2, b 0.75, an average of 256 tokens; IDF is the store's part."""

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}

    def get(self, language: str) -> Any:
        """The model with ``embed_document`` and ``embed_query``.

        Raises:
            RetrievalError: There are no stop words and no stemmer for the language.
        """
        import qdrant_edge as edge

        if language not in self._models:
            try:
                self._models[language] = edge.Bm25(edge.Bm25Config(language=language))
            except ValueError as error:
                raise RetrievalError(f"BM25 does not know the language {language!r}: {error}") from error
        return self._models[language]
