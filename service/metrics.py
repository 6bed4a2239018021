"""Metrics for Prometheus: where the time goes, how soon the first token comes, what is used, what fails."""

from collections.abc import Callable
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from agent.events import (
    CacheHit,
    CacheMissed,
    EventBody,
    MemoryRecalled,
    RunCancelled,
    RunCompleted,
    RunFailed,
    ToolReturned,
    UsageRecorded,
)
from agent.observer import Stage
from agent.queue.dispatch import Dispatch
from agent.queue.lanes import LANES, Lanes
from agent.webhooks.deliveries import Backlog
from retrieval.cache.answers import Reason

_MISSES = frozenset({*get_args(Reason), "bypass", "checked", "conversation", "memory"} - {""})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry for one service; it is the ``Observer`` of every run."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = Histogram(
            "cairn_stage_seconds", "Duration of a stage of a run.", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._first_token = Histogram(
            "cairn_time_to_first_token_seconds",
            "From accepting a run to the first text of its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._tokens = Counter("cairn_tokens", "Tokens of model calls.", ["direction"], registry=self.registry)
        self._runs = Counter("cairn_runs", "Runs that ended.", ["status"], registry=self.registry)
        self._lookups = Counter(
            "cairn_cache_lookups",
            "Questions by what the cache of answers gave: a hit, exact, near or concurrent, or a miss and why.",
            ["outcome", "how"],
            registry=self.registry,
        )
        self._recalled = Counter("cairn_memories_recalled", "Memories that a model was shown.", registry=self.registry)
        self._active = Gauge("cairn_runs_active", "Runs that go on now.", registry=self.registry)
        self._lane_running = Gauge("cairn_lane_running", "Runs that go on now.", ["lane"], registry=self.registry)
        self._lane_depth = Gauge("cairn_lane_depth", "Runs that wait for their turn.", ["lane"], registry=self.registry)
        self._lane_oldest = Gauge(
            "cairn_lane_oldest_seconds", "Age of the run that waits longest.", ["lane"], registry=self.registry
        )
        self._queue_depth = Gauge(
            "cairn_queue_depth",
            "Runs that wait for any of the processes that share the queue; all of them tell the same.",
            ["lane"],
            registry=self.registry,
        )
        self._queue_oldest = Gauge(
            "cairn_queue_oldest_seconds", "Age of the run that waits longest for any.", ["lane"], registry=self.registry
        )
        self._webhooks = Counter(
            "cairn_webhook_attempts", "Attempts to deliver webhooks.", ["outcome"], registry=self.registry
        )
        self._webhook_depth = Gauge(
            "cairn_webhook_depth", "Webhooks that are not delivered yet, of all processes.", registry=self.registry
        )
        self._webhook_oldest = Gauge(
            "cairn_webhook_oldest_seconds", "Age of the oldest of them.", registry=self.registry
        )
        self._webhook_dead = Gauge("cairn_webhook_dead", "Webhooks that were given up.", registry=self.registry)
        self._errors = Counter("cairn_errors", "Failures by code.", ["where", "code"], registry=self.registry)
        self._documents = Counter("cairn_documents", "Documents ingested.", ["outcome"], registry=self.registry)
        self._requests = Counter("cairn_http_requests", "HTTP requests.", ["route", "status"], registry=self.registry)

    def watch_active(self, count: Callable[[], int]) -> None:
        """Ask ``count`` for the number of runs that go on, whenever the metrics are read."""
        self._active.set_function(count)

    def watch_lanes(self, lanes: Lanes) -> None:
        """Ask the lanes how full they are, whenever the metrics are read."""
        for lane in LANES:
            self._lane_running.labels(lane).set_function(partial(lanes.running, lane))
            self._lane_depth.labels(lane).set_function(partial(lanes.depth, lane))
            self._lane_oldest.labels(lane).set_function(partial(lanes.oldest, lane))

    def watch_queue(self, queue: Dispatch) -> None:
        """Ask how full the queue is that several processes share, whenever the metrics are read."""
        for lane in LANES:
            self._queue_depth.labels(lane).set_function(partial(queue.depth, lane))
            self._queue_oldest.labels(lane).set_function(partial(queue.oldest, lane))

    def stage(self, stage: Stage, seconds: float) -> None:
        """A stage of a run took this long."""
        self._stages.labels(stage).observe(seconds)

    def first_token(self, seconds: float) -> None:
        """The first text of an answer came."""
        self._first_token.observe(seconds)

    def event(self, body: EventBody) -> None:
        """Count what an event says."""
        match body:
            case ToolReturned(failure=str() as failure):
                self._errors.labels("tool", failure).inc()
            case UsageRecorded():
                self._tokens.labels("input").inc(body.input_tokens)
                self._tokens.labels("output").inc(body.output_tokens)
            case CacheHit():
                self._lookups.labels("hit", body.decided_by).inc()
            case CacheMissed():
                self._lookups.labels("miss", body.reason if body.reason in _MISSES else "other").inc()
            case MemoryRecalled():
                self._recalled.inc(len(body.memories))
            case RunCompleted():
                self._ended("completed")
            case RunCancelled():
                self._ended("cancelled")
            case RunFailed():
                self._errors.labels("run", body.code).inc()
                self._ended("failed")
            case _:
                pass

    def _ended(self, status: str) -> None:
        self._runs.labels(status).inc()

    def webhook(self, outcome: str) -> None:
        """A webhook was ``delivered``, ``failed`` to be, or is ``dead``."""
        self._webhooks.labels(outcome).inc()

    def webhooks(self, backlog: Backlog) -> None:
        """So much is undelivered."""
        self._webhook_depth.set(backlog.depth)
        self._webhook_oldest.set(backlog.oldest)
        self._webhook_dead.set(backlog.dead)

    def document(self, outcome: str) -> None:
        """A document was added, changed, removed, left alone, or failed."""
        self._documents.labels(outcome).inc()

    def request(self, route: str, status: int) -> None:
        """An HTTP request was answered. ``route`` is the template, never the path: that would be unbounded."""
        self._requests.labels(route, str(status)).inc()

    def problem(self, code: str) -> None:
        """A request was answered with a problem."""
        self._errors.labels("http", code).inc()

    def render(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
