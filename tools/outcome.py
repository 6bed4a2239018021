"""What an exception proves about an effect: that nothing was done, or nothing at all.

A lost answer is not a failure: the order may have been placed. So an exception out of a tool that changes something
counts as a failure only where it proves that nothing was done, and as an unknown outcome otherwise. Proof is

- a ``ToolError``: the tool says so itself;
- a connection that was never made, so that nothing can have been sent;
- an HTTP status 4xx, by which the server says that it will not do it. Not 408, 409, 425 and 429: a proxy may answer 408
  or 429 for a request that it has passed on, and 409 and 425 are what servers answer to a repetition of a request that
  may be under way or done (RFC 8470, 5.2; draft-ietf-httpapi-idempotency-key-header, 2.7).

It is proof about the request that failed. So a tool should make one change and leave repeating to the service; one that
makes several, tries again by itself or follows redirects must turn such errors into others where it has acted before.
"""

from typing import ClassVar, Literal, get_args

NothingDone = Literal["failed", "token_needed", "rate_limited"]
"""The failures of a call that has changed nothing (``tools.results.ToolFailure``)."""

NOTHING_DONE: frozenset[str] = frozenset(get_args(NothingDone))

_NEVER_SENT = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectorError",
        "aiohttp.client_exceptions.ConnectionTimeoutError",
        "builtins.ConnectionRefusedError",
        "httpx.ConnectError",
        "httpx.ConnectTimeout",
        "httpx.PoolTimeout",
        "requests.exceptions.ConnectTimeout",
        "socket.gaierror",
    }
)
_STATUS_OF = {
    "aiohttp.client_exceptions.ClientResponseError": ("status",),
    "httpx.HTTPStatusError": ("response", "status_code"),
    "requests.exceptions.HTTPError": ("response", "status_code"),
    "urllib.error.HTTPError": ("code",),
}
_NO_PROOF = frozenset({408, 409, 425, 429})


class ToolError(Exception):
    """Raised by a tool: it failed for good, and nothing was done. The message is for the model and the user.

    Raised by a ``verify`` hook, it refuses the call.

    Attributes:
        failure: What the call's result says of it.
    """

    failure: ClassVar[NothingDone] = "failed"


class CallTimedOut(Exception):
    """A call that keeps its own time has taken too long, and was ended."""


def proves_nothing_done(error: BaseException) -> bool:
    """Whether the exception proves that the call which raised it has changed nothing."""
    if isinstance(error, ToolError):
        return True
    # By name: the libraries are slow to import, and a tool that raises their errors has chosen its own.
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
    if not _NEVER_SENT.isdisjoint(kinds):
        return True
    return any(refuses(_status(error, _STATUS_OF[kind])) for kind in kinds if kind in _STATUS_OF)


def refuses(status: object) -> bool:
    """Whether a server that answers with this HTTP status says that it has done nothing."""
    return isinstance(status, int) and 400 <= status < 500 and status not in _NO_PROOF


def _status(error: BaseException, path: tuple[str, ...]) -> object:
    value: object = error
    for name in path:
        value = getattr(value, name, None)
    return value
