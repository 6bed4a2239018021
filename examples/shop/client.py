"""A client of the shop's API, over HTTP or within the process."""

import asyncio
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

import httpx
from fastapi import FastAPI

from cairn import ToolError
from examples.shop.backend import create_app

IN_PROCESS = "http://shop.internal"
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10)
SECONDS = 5.0
REFUSALS = {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}


class ShopRefusal(ToolError):
    """The shop said no and did nothing; the message is what it said, e.g. "There is no order 9999."."""


class ShopUnreachable(ToolError):
    """Nobody listens at the shop's URL, so nothing was sent."""


class ShopClient:
    """Calls the back end with one pooled connection per event loop, made at the first call.

    Args:
        url: Where the back end listens. Without one a back end of the client's own runs in process, with fresh
            example data that is forgotten with the client.
    """

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()
        self._app: FastAPI | None = None

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """The JSON at a path.

        Raises:
            ShopRefusal: The shop has no such thing.
            ShopUnreachable: Nobody listens at the URL.
            httpx.HTTPError: The shop broke down, the connection broke, or it took too long.
        """
        return await self._send("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None) -> Any:
        """Send JSON to a path, under an Idempotency-Key when one is given.

        Raises:
            ShopRefusal: The shop said no.
            ShopUnreachable: Nobody listens at the URL, so nothing has been done.
            httpx.HTTPError, ValueError: The answer is lost or unreadable; what was asked may have been done.
        """
        return await self._send("POST", path, json=body, headers={"Idempotency-Key": key} if key else None)

    async def aclose(self) -> None:
        """Close the connections of the running loop. Safe to call twice."""
        if pool := self._pools.pop(asyncio.get_running_loop(), None):
            await pool.aclose()

    async def _send(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._pool().request(method, path, **options)
        except httpx.ConnectError as error:
            raise ShopUnreachable(f"The shop's back end at {self._url} does not answer.") from error
        if response.status_code in REFUSALS and (reason := _reason(response)):
            raise ShopRefusal(reason)
        return response.raise_for_status().json()

    def _pool(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        with self._lock:
            pool = self._pools.get(loop)
            if pool is None:
                base = self._url or IN_PROCESS
                pool = httpx.AsyncClient(base_url=base, transport=self._transport(), limits=LIMITS, timeout=SECONDS)
                self._pools[loop] = pool
        return pool

    def _transport(self) -> httpx.ASGITransport | None:
        if self._url is not None:
            return None
        if self._app is None:
            self._app = create_app()
        return httpx.ASGITransport(self._app)


def _reason(response: httpx.Response) -> str | None:
    """Why the shop refuses; None when it is not the shop that says so."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(detail, str):
        return detail
    return "; ".join(f"{entry['loc'][-1]}: {entry['msg']}" for entry in detail)
