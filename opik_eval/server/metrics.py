"""Figures of a running server, in the format of Prometheus."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from opik_eval import __version__
from opik_eval.errors import OpikEvalError
from opik_eval.server.visits import Visit
from opik_eval.storage.workspaces import Workspaces

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_UNKNOWN_ROUTE = "none"


class Metrics:
    """Counts requests and events.

    Args:
        workspaces: Those whose sizes are told.
    """

    def __init__(self, workspaces: Workspaces) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "opik_eval_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "opik_eval_request_seconds",
            "Time to answer a request.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._events = Counter("opik_eval_events", "Records taken in.", ["kind"], registry=registry)
        self.open_requests = Gauge(
            "opik_eval_open_requests", "Requests being answered.", registry=registry
        )
        self._queue = Gauge(
            "opik_eval_queued_requests",
            "Requests that wait for a thread to work on storage, or for their turn to write much.",
            registry=registry,
        )
        build = Gauge("opik_eval_build_info", "Versions.", ["version", "python"], registry=registry)
        build.labels(__version__, platform.python_version()).set(1)
        registry.register(_StoreSizes(workspaces))

    def observe(self, visit: Visit, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        route = visit.route or _UNKNOWN_ROUTE
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)
        if visit.events and status < 400:
            self._events.labels(kind_of(route)).inc(visit.events)

    def text(self, waiting: int) -> bytes:
        """Return all figures.

        Args:
            waiting: Requests that wait for a thread or their turn.
        """
        self._queue.set(waiting)
        return generate_latest(self._registry)


def kind_of(route: str) -> str:
    """Return what a route takes in, such as ``traces``.

    Example:
        >>> kind_of("/v1/private/traces/batch")
        'traces'
    """
    parts = route.split("/")
    return parts[3] if len(parts) > 3 else _UNKNOWN_ROUTE


class _StoreSizes(Collector):
    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    def collect(self) -> Iterator[GaugeMetricFamily]:
        sizes = GaugeMetricFamily(
            "opik_eval_store_bytes", "Room that records take.", labels=["workspace"]
        )
        try:
            for name in self._workspaces.names():
                size = self._workspaces.storage(name).size_bytes()
                sizes.add_metric([name], size)
        except OpikEvalError:
            pass  # a store that is down must not hide the figures of the server
        yield sizes

    def describe(self) -> list[GaugeMetricFamily]:
        return []
