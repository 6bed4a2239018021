"""Starting runs once: a request that is sent again with its idempotency key finds the run that it started."""

import asyncio
from weakref import WeakValueDictionary

from pydantic import SecretStr

from agent.idempotency import KeyTaken, RequestKey
from agent.journal.record import RunStore
from agent.runs import RunRequest, Runs
from records.principal import Principal


class Starts:
    """Starts runs, one for each key."""

    def __init__(self, runs: Runs, store: RunStore) -> None:
        self._runs = runs
        self._store = store
        self._starting: WeakValueDictionary[RequestKey, asyncio.Lock] = WeakValueDictionary()

    async def start(
        self,
        principal: Principal,
        request: RunRequest,
        key: RequestKey | None,
        *,
        queued: bool = False,
        token: SecretStr | None = None,
    ) -> tuple[str, str]:
        """Start a run, or find the one that the key stands for; gives its id and its session's.

        Args:
            queued: Any process may carry it out: see ``Runs.start``.
            token: What the asker is known by at back ends.

        Raises:
            KeyReused: The key was sent with another request.
            AgentRunError: The run cannot begin: see ``Runs.start``.
        """
        if key is None:
            return await self._runs.start(principal, request, queued=queued, token=token)
        # The database decides between processes; within one, who comes second waits until the run can be followed.
        async with self._starting.setdefault(key, asyncio.Lock()):
            started = await self._store.accepted(key)
            if started is not None:
                return started
            try:
                return await self._runs.start(principal, request, key, queued=queued, token=token)
            except KeyTaken:
                started = await self._store.accepted(key)
                if started is None:
                    raise
                return started
