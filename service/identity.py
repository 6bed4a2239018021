"""Who asks: from the Authorization header of a request to a principal.

While no key exists and the service listens on the loopback interface alone, everybody there is the owner. From the
first key on every request needs one. A key that any process makes or revokes is known here within a second.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from records.keys import ApiKey, KeyStore, parse_key
from records.principal import LOCAL, Principal
from service.problems import ProblemError

_FRESH_SECONDS = 1.0
_AT_ONCE = 500
_REMEMBERED = 10_000


class Identity:
    """Tells principals by their keys.

    Args:
        keys: The record of keys.
        loopback: Whether only this machine can reach the service, so that it may do without keys.
        local_token: The secret that stands for the owner of the data folder, who can read it there.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        keys: KeyStore,
        *,
        loopback: bool,
        local_token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._recent = _RecentKeys(keys, clock)
        self._token = local_token.encode() if local_token else None
        self._clock = clock
        self._open = loopback
        self._open_until = clock()
        self._asking = asyncio.Lock()

    @property
    def open(self) -> bool:
        """Whether everybody on this machine is the owner, as of the last request that had to be told apart."""
        return self._open

    async def authenticate(self, authorization: bytes | None) -> Principal:
        """Who sends this Authorization header.

        Raises:
            ProblemError: ``unauthenticated``, or ``keys_unavailable`` when the record of keys does not answer.
        """
        given = _bearer(authorization)
        if given is not None and self._token is not None and hmac.compare_digest(given, self._token):
            return LOCAL
        try:
            if await self._nobody_has_a_key():
                return LOCAL
            key = await self._key(given)
        except (DBAPIError, OSError) as error:
            raise ProblemError(503, "keys_unavailable", "the record of keys does not answer; try again") from error
        if key is None:
            raise _unauthenticated(given)
        return key.principal

    async def _nobody_has_a_key(self) -> bool:
        if self._open and self._open_until <= self._clock():
            async with self._asking:
                if self._open and self._open_until <= self._clock():
                    until = self._clock() + _FRESH_SECONDS
                    self._open = not await self._keys.any()
                    self._open_until = until
        return self._open

    async def _key(self, given: bytes | None) -> ApiKey | None:
        parsed = parse_key(given.decode("latin-1")) if given is not None else None
        if parsed is None:
            return None
        key_id, secret = parsed
        key = await self._recent.get(key_id)
        return key if key is not None and key.opened_by(secret) and key.state == "active" else None


@dataclass(frozen=True, slots=True)
class _Seen:
    key: ApiKey | None
    until: float


class _RecentKeys:
    """Keys by id, each as it was at most a second ago; that an id is nobody's is remembered as well.

    One statement runs at a time and looks up all the ids that wait for it: however many are guessed, and however fast,
    neither the database nor the keys that exist have much to wait for.
    """

    def __init__(self, keys: KeyStore, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._wanted: dict[str, None] = {}
        self._reading = asyncio.Lock()

    async def get(self, key_id: str) -> ApiKey | None:
        """The key, if there is one."""
        if not self._fresh(key_id):
            self._wanted[key_id] = None
            async with self._reading:
                if not self._fresh(key_id):
                    await self._read(key_id)
                return self._seen[key_id].key
        return self._seen[key_id].key

    def _fresh(self, key_id: str) -> bool:
        seen = self._seen.get(key_id)
        return seen is not None and seen.until > self._clock()

    async def _read(self, key_id: str) -> None:
        asked = [key_id, *(other for other in self._wanted if other != key_id)][:_AT_ONCE]
        # From before the statement: a key that was revoked while it ran is good for no longer than any other.
        until = self._clock() + _FRESH_SECONDS
        found = await self._keys.find(asked)
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        for each in asked:
            self._wanted.pop(each, None)
            self._seen[each] = _Seen(found.get(each), until)


def _bearer(authorization: bytes | None) -> bytes | None:
    scheme, _, credentials = (authorization or b"").partition(b" ")
    return credentials.strip() or None if scheme.lower() == b"bearer" else None


def _unauthenticated(given: bytes | None) -> ProblemError:
    detail = (
        "send an API key in the header `Authorization: Bearer cairn_…`; `cairn keys create` makes one"
        if given is None
        else "the API key is unknown, expired or revoked; `cairn keys create` makes another"
    )
    return ProblemError(401, "unauthenticated", detail)
