"""Metrics in Prometheus's format, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import Scope

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The content type of `Metrics.text`."""

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counts what a server does.

    Attributes:
        registry: the registry, to which other parts of the server add their metrics.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of_route = ("route", "method", "status")
        self._answers = Counter(
            "autopipe_answers", "Answers, by route and status.", of_route, registry=self.registry
        )
        self._seconds = Histogram(
            "autopipe_answer_seconds", "The time until an answer is sent.", ("route",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count the answer to a request; its status is 0 if its client went away."""
        # Paths that clients make up would fill the memory.
        route = getattr(scope.get("route"), "path", "") or "none"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._answers.labels(route, method, str(status or 499)).inc()
        self._seconds.labels(route).observe(seconds)

    def watch(self, name: str, about: str, count: Callable[[], float]) -> None:
        """Add a number that is asked for whenever the metrics are read."""
        Gauge(f"autopipe_{name}", about, registry=self.registry).set_function(count)

    def text(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self.registry)


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
