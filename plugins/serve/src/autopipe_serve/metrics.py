"""Metrics in Prometheus's format, in a registry of their own."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from starlette.types import Scope

from .studio import Studio

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The content type of `Metrics.text`."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counts what a server does.

    Args:
        studio: what draws.

    Attributes:
        registry: the registry, to which other parts of the server can add theirs.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio, self.registry = studio, CollectorRegistry()
        self._answers = Counter(
            "autopipe_answers", "Answers.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "autopipe_answer_seconds", "The time until an answer is sent.", ("route",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.registry.register(self)

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count the answer to a request; its status is 0 if its client went away."""
        # Paths that clients make up would fill the memory.
        route = getattr(scope.get("route"), "path", "") or "none"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._answers.labels(route, method, str(status or 499)).inc()
        self._seconds.labels(route).observe(seconds)

    def describe(self) -> list[Metric]:
        """Return no descriptions, so that the studio isn't asked before it is complete."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers of the studio, for the registry."""
        stats = self._studio.stats()
        waiting = GaugeMetricFamily("autopipe_tickets", "Tickets.", labels=["state"])
        over = CounterMetricFamily("autopipe_tickets_over", "Tickets that ended.", labels=["state"])
        for state in ("queued", "drawing"):
            waiting.add_metric([state], getattr(stats, state))
        for state in ("done", "failed", "cancelled"):
            over.add_metric([state], getattr(stats, state))
        yield from (waiting, over)
        yield CounterMetricFamily(
            "autopipe_refused", "Requests that found the queue full.", value=stats.refused
        )
        yield CounterMetricFamily("autopipe_images", "Written results.", value=stats.images)
        memory = GaugeMetricFamily(
            "autopipe_weights_bytes", "The weights of a loaded checkpoint.", labels=["model"]
        )
        for name, size in stats.memory.items():
            memory.add_metric([name], size)
        yield memory

    def text(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self.registry)
