"""Everything that can go wrong in retrieval.

RetrievalError
├── CollectionNotFound     no such collection for this tenant
├── EmbedderUnavailable    the embedding model is missing, damaged or cannot be loaded
├── DocumentNotFound       no such document, or version of it, that this principal may read
├── RerankerUnavailable    the reranker cannot be loaded
├── EmbedderMismatch       the collection was embedded with another model
├── InvalidVector          a vector of the wrong dimension, or not finite
├── StoreLocked            another process holds the embedded store
└── StoreUnavailable       the store cannot be reached, or died and could not be restarted
"""


class RetrievalError(Exception):
    """Retrieval failed. The message says what to do about it."""


class CollectionNotFound(RetrievalError):
    """There is no such collection for this tenant."""


class EmbedderUnavailable(RetrievalError):
    """The embedding model is missing, damaged or cannot be loaded."""


class DocumentNotFound(RetrievalError):
    """There is no such document, or version of it, that this principal may read."""


class RerankerUnavailable(RetrievalError):
    """The reranker cannot be loaded."""


class EmbedderMismatch(RetrievalError):
    """The collection was embedded with another model than the one in use."""


class InvalidVector(RetrievalError):
    """A vector has the wrong dimension, or is not finite."""


class StoreLocked(RetrievalError):
    """Another process holds the embedded store."""


class StoreUnavailable(RetrievalError):
    """The store cannot be reached."""
