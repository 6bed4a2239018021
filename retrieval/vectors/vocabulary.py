"""The vocabulary of filters, ``qdrant_client.models``, loaded ahead of its first use."""

from __future__ import annotations

import asyncio
from importlib import import_module


async def load_vocabulary() -> None:
    """Import the filter models off the event loop.

    They come with the whole client, about a second of work: ``cairn serve`` does it once it is ready, so that neither
    the start nor the first question waits for it.
    """
    await asyncio.to_thread(import_module, "qdrant_client.models")
