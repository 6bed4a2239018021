"""Wake-up calls between processes, over one connection to Redis for all of them.

They carry nothing that must not be lost: whoever waits looks for itself now and then, too.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from records.cancellation import heeded

_LOOK_SECONDS = 2.0
_RETRY_SECONDS = 0.5


class Signals:
    """Channels of Redis, and who in this process waits for a message of which."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever somebody signals on the channel."""
        event = asyncio.Event()
        self._waiting[channel].add(event)
        try:
            if len(self._waiting[channel]) == 1:
                await self._subscribe(channel)
            if self._task is None:
                self._task = asyncio.create_task(self._receive())
            yield event
        finally:
            self._waiting[channel].discard(event)
            if not self._waiting[channel]:
                del self._waiting[channel]
                await self._unsubscribe(channel)

    async def signal(self, channel: str) -> None:
        """Wake everybody who listens on the channel, in whatever process. A call that cannot be made is not made."""
        with suppress(RedisError, OSError):
            await heeded(self._redis.publish(channel, ""))

    def wake(self, channel: str) -> None:
        """Wake those of this process who listen on the channel."""
        for event in self._waiting.get(channel, ()):
            event.set()

    def wake_all(self) -> None:
        """Wake everybody in this process."""
        for channel in list(self._waiting):
            self.wake(channel)

    async def aclose(self) -> None:
        """Stop receiving."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _subscribe(self, channel: str) -> None:
        try:
            await heeded(self._pubsub.subscribe(channel))
        except (RedisError, OSError):
            return  # the connection is made again, with all channels, by ``_receive``

    async def _unsubscribe(self, channel: str) -> None:
        try:
            await heeded(self._pubsub.unsubscribe(channel))
        except (RedisError, OSError):
            return

    async def _receive(self) -> None:
        while True:
            try:
                message = await heeded(self._pubsub.get_message(timeout=_LOOK_SECONDS))
            except (RedisError, OSError):
                await asyncio.sleep(_RETRY_SECONDS)
                self.wake_all()
                continue
            if message is None:
                self.wake_all()
            else:
                self.wake(message["channel"].decode())
