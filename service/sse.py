"""Events on the wire as Server-Sent Events (WHATWG HTML, section 9.2)."""

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse

from agent.log.encoding import RunEvent

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(event: RunEvent) -> bytes:
    """One event as a frame; ``id`` is the durable ``seq``, so ``Last-Event-ID`` says where to go on."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event.type.encode(), event.seq, event.data)


def event_stream(events: AsyncIterator[RunEvent], *, heartbeat: float, run_id: str) -> EventSourceResponse:
    """The response that carries a run's events; a comment is sent whenever ``heartbeat`` seconds pass."""

    async def frames() -> AsyncIterator[bytes]:
        async for event in events:
            yield frame(event)

    return EventSourceResponse(frames(), ping=heartbeat, sep="\n", headers={**_HEADERS, "X-Run-Id": run_id})
