"""What was answered under each Idempotency-Key, so that a request tried again acts once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from examples.shop.backend.errors import KeyReusedError

KEYS_KEPT = 10_000

Reply = TypeVar("Reply")


class Replies:
    """The latest replies by key. The owner's lock must be held: what acts and what remembers is one step."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Hashable, object]] = OrderedDict()

    def once(self, key: str | None, request: Hashable, act: Callable[[], Reply]) -> Reply:
        """What ``act`` returns; under a key that is known, what it returned then.

        A request that was refused leaves no trace, so it may be tried again under its key.

        Raises:
            KeyReusedError: The key was used for another request.
        """
        if key is None:
            return act()
        if key in self._kept:
            known, reply = self._kept[key]
            if known != request:
                raise KeyReusedError(f"The Idempotency-Key {key!r} was used for another request.")
            return cast("Reply", reply)
        reply = act()
        self._kept[key] = (request, reply)
        if len(self._kept) > KEYS_KEPT:
            self._kept.popitem(last=False)
        return reply
