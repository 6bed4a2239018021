"""Delivers what is due, in every service and worker: each delivery by one of them at a time, until it is taken.

An attempt that nobody reports on, because its process died, is made again after its lease: receivers know a delivery by
its ``webhook-id``, which stays the same.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from agent.webhooks.deliveries import Backlog, Deliveries, Delivery, Target
from agent.webhooks.endpoints import Endpoints
from agent.webhooks.sender import Answer, Sender
from records.ids import now

LEASE = timedelta(seconds=60)
"""How long an attempt may take before another process makes the next one; longer than any endpoint's time-out."""

_FIRST_SECONDS = 5.0
_FACTOR = 4.0
_MOST_SECONDS = 4 * 3600.0
_POLL_SECONDS = 2.0
_LOOK_SECONDS = 15.0
_AT_ONCE = 32
_EACH = 4

_log = structlog.get_logger("cairn.webhooks")


class Counted(Protocol):
    """Where it is counted how deliveries do."""

    def webhook(self, outcome: str) -> None:
        """An attempt was ``delivered`` or ``failed``, or the delivery is ``dead``."""
        ...

    def webhooks(self, backlog: Backlog) -> None:
        """So much is undelivered."""
        ...


class Deliverer:
    """Delivers in the background.

    Args:
        written: Set when there may be something new.
        jitter: A number between two.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        endpoints: Endpoints,
        sender: Sender,
        counted: Counted,
        written: asyncio.Event,
        *,
        clock: Callable[[], datetime] = now,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._sender = sender
        self._counted = counted
        self._written = written
        self._clock = clock
        self._jitter = jitter
        self._under_way: Counter[Target] = Counter()

    async def work(self) -> None:
        """Deliver what is due, as soon as it is; never returns."""
        looked = -_LOOK_SECONDS
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._written.clear()
                try:
                    for delivery in await self._claim():
                        self._under_way[delivery.target] += 1
                        tasks.create_task(self._deliver(delivery))
                    if loop.time() - looked >= _LOOK_SECONDS:
                        looked = loop.time()
                        self._counted.webhooks(await self._deliveries.backlog())
                except Exception as error:  # noqa: BLE001 - the next time it may work
                    _log.error("webhooks could not be looked for", exc_info=error)
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._written.wait()
                except TimeoutError:
                    pass

    async def deliver(self) -> int:
        """Send once what is due now; gives how many that were."""
        claimed = await self._claim()
        self._under_way.update(delivery.target for delivery in claimed)
        await asyncio.gather(*(self._deliver(delivery) for delivery in claimed))
        return len(claimed)

    async def _claim(self) -> list[Delivery]:
        free = _AT_ONCE - self._under_way.total()
        if free <= 0:
            return []
        busy = [target for target, count in self._under_way.items() if count >= _EACH]
        claimed = await self._deliveries.claim(self._clock(), LEASE, limit=free, each=_EACH, busy=busy)
        return list(claimed)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self._settle(delivery, await self._attempt(delivery))
        except Exception as error:  # noqa: BLE001 - it is made again after its lease, and keeps nobody from the others
            _log.error("a webhook could not be delivered", exc_info=error, delivery_id=delivery.id)
        finally:
            self._under_way[delivery.target] -= 1
            if not self._under_way[delivery.target]:
                del self._under_way[delivery.target]
            self._written.set()

    async def _attempt(self, delivery: Delivery) -> Answer:
        endpoint = self._endpoints.find(delivery.tenant, delivery.url)
        if endpoint is None:
            return Answer(error="no endpoint with this URL is configured for this tenant any more")
        if await self._deliveries.is_off(delivery.target):
            return Answer(error="the endpoint is off: it said that it is gone (410)", gone=True)
        timestamp = int(self._clock().timestamp())
        return await self._sender.send(endpoint, delivery.url, delivery.id, timestamp, delivery.body.encode())

    async def _settle(self, delivery: Delivery, answer: Answer) -> None:
        about = {"delivery_id": delivery.id, "event_type": delivery.event, "attempt": delivery.attempts}
        if answer.error is None:
            await self._deliveries.delivered(delivery)
            self._counted.webhook("delivered")
            _log.info("webhook delivered", **about)
            return
        endpoint = self._endpoints.find(*delivery.target)
        again = None if answer.gone else self._again(delivery, answer)
        if answer.gone and endpoint is not None and not endpoint.for_runs:
            await self._deliveries.gone(delivery, answer.error)
        else:  # a URL that only a run has named need not be remembered as gone
            await self._deliveries.failed(delivery, answer.error, again)
        self._counted.webhook("failed" if again is not None else "dead")
        _log.warning("webhook failed" if again else "webhook given up", reason=answer.error, **about)

    def _again(self, delivery: Delivery, answer: Answer) -> datetime | None:
        """When it is sent next; the last time as its patience ends."""
        moment = self._clock()
        if moment >= delivery.until:
            return None
        seconds = min(_FIRST_SECONDS * _FACTOR ** (delivery.attempts - 1), _MOST_SECONDS)
        wait = max(self._jitter(0.75, 1.25) * seconds, answer.retry_after or 0.0)
        left = (delivery.until - moment).total_seconds()
        return moment + timedelta(seconds=min(wait, left))
