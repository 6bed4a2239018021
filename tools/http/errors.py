"""How a request to a back end can end without a value, told by what is known of its effect.

ToolError                 (tools.outcome) nothing was done
├── ApiRefused            the back end said no: a status 4xx that proves it
├── ApiNotReached         nothing was sent: no connection, a host that is not allowed, a circuit that is open
│   └── TokenRefused      a token endpoint said no
├── TokenNeeded           it acts with a token of whoever asks: there is none, or none that is accepted any more
└── ApiRateLimited        the back end takes no more requests for now
ApiUnclear                the request was sent, and no usable answer came back; a write may have been done

The messages are for the model and the user: they name the method and the path, never a header, a query or a credential.
"""

from typing import ClassVar

from tools.outcome import NothingDone, ToolError


class ApiRefused(ToolError):
    """The back end answered that it will not do it.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiNotReached(ToolError):
    """No request was sent."""


class TokenRefused(ApiNotReached):
    """A token endpoint gave no token.

    Attributes:
        status: The HTTP status.
        code: The ``error`` of its answer (RFC 6749, 5.2), if it is one that is known; else "".
    """

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class TokenNeeded(ToolError):
    """The request goes out for whoever asks, and the token by which the back end knows them is missing or refused."""

    failure: ClassVar[NothingDone] = "token_needed"


class ApiRateLimited(ToolError):
    """The back end takes no more requests for now, by a limit of ours or by its own word.

    Attributes:
        retry_after: Seconds until the next one may be tried.
    """

    failure: ClassVar[NothingDone] = "rate_limited"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ApiFailed(ToolError):
    """A request that only reads gave no usable answer."""


class ApiUnclear(Exception):
    """A request was sent, and what came back does not say what was done."""
