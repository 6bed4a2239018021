"""Everything that can go wrong with a model.

ModelError
├── InvalidRequest       the provider refused the request itself; repeating it cannot help
├── Authentication       the key is missing, wrong or lacks a right
├── RateLimited          too many requests; ``retry_after`` says when, where the provider does
├── Transient            unreachable, overloaded or a server error; the same call may succeed later
│   └── ModelTimeout     nothing came within the time allowed
├── MalformedResponse    the reply breaks the protocol
├── OutputRejected       the provider's own filter withheld the answer
└── Permanent            anything that no repetition mends (a closed account)
    └── ModelNotFound    the provider does not know the model
"""


class ModelError(Exception):
    """A model call failed. The message is fit to be shown to an operator; it never holds a key."""


class InvalidRequest(ModelError):
    """The provider refused the request itself."""


class Authentication(ModelError):
    """The provider refused the credentials."""


class RateLimited(ModelError):
    """The provider asks to slow down.

    Attributes:
        retry_after: Seconds to wait, or None when the provider did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Transient(ModelError):
    """The same call may succeed later."""


class ModelTimeout(Transient):
    """Nothing came within the time allowed."""


class MalformedResponse(ModelError):
    """The reply breaks the protocol."""


class OutputRejected(ModelError):
    """The provider's filter withheld the answer."""


class Permanent(ModelError):
    """No repetition mends this."""


class ModelNotFound(Permanent):
    """The provider does not know the model."""
