"""Collects a gateway's Prometheus metrics: requests, their latency, the process, and what executors announce."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import Scope

from nanogrid.v1.resources_pb2 import ExecutorInfo, Job

# From a warm call's millisecond to the longest sync wait.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
CLIENT_LEFT = 499  # nginx's status for a client that left before the answer
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Metrics of one application. Labels come from the routes, never from a client's input."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._requests = Counter(
            "nanogrid_gateway_requests",
            "Requests by route and status; 499 = the client went away first.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "nanogrid_gateway_request_seconds",
            "Time from the request's head to the end of its answer.",
            ["method", "route"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._damaged = Counter(
            "nanogrid_gateway_damaged_records",
            "Jobs answered whose record could not be read, with what is known of them all the same.",
            registry=self._registry,
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request and its time."""
        route = scope.get("route")
        key = (scope["method"], route.path if route is not None else "unmatched", status or CLIENT_LEFT)
        counter, histogram = self._known.get(key) or self._labelled(key)
        counter.inc()
        histogram.observe(seconds)

    def observe_jobs(self, jobs: Iterable[Job]) -> None:
        """Count the jobs with an unreadable record in an answer."""
        for job in jobs:
            if job.is_damaged:
                self._damaged.inc()

    def _labelled(self, key: tuple[str, str, int]) -> tuple[Counter, Histogram]:
        method, route, status = key
        method = method if method in _METHODS else "other"
        found = self._requests.labels(method, route, status), self._seconds.labels(method, route)
        if method != "other":
            self._known[key] = found
        return found

    def response(self, executors: Iterable[ExecutorInfo]) -> Response:
        """Return all metrics in Prometheus's text format."""
        announced = CollectorRegistry()
        announced.register(_Announced(executors))
        text = generate_latest(self._registry) + generate_latest(announced)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


class _Announced(Collector):
    """Metrics of executors from their announcements, up to a few seconds old. Every gateway shows the same."""

    def __init__(self, executors: Iterable[ExecutorInfo]) -> None:
        self._executors = executors

    def collect(self) -> Iterator[Metric]:
        pressure = GaugeMetricFamily(
            "nanogrid_executor_memory_pressure",
            "1 while the executor's machine is short of memory and idle sandboxes are evicted, else 0.",
            labels=["executor"],
        )
        evicted = CounterMetricFamily(
            "nanogrid_executor_evicted_sandboxes",
            "Idle sandboxes evicted for want of memory.",
            labels=["executor"],
        )
        for one in self._executors:
            pressure.add_metric([one.executor_id], one.memory_pressure)
            evicted.add_metric([one.executor_id], one.evicted_sandboxes)
        yield pressure
        yield evicted
