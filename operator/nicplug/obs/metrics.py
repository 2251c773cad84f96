"""Metrics of one process, in a registry of its own: tests and several operators never share counters.

No label names an object: cardinality must not grow with the number of VMs.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from nicplug.plan.outcome import Completion

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_HOTPLUG_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counters and gauges, and their text form; counts for the API client and for the workers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "nicplug_api_requests",
            "Requests to the API server; code 0: no answer.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "nicplug_api_request_duration_seconds",
            "Time until the answer was read.",
            ["verb"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._reconciles = Counter(
            "nicplug_reconcile", "Passes over a key by outcome.", ["kind", "outcome"], registry=self.registry
        )
        self._reconcile_seconds = Histogram(
            "nicplug_reconcile_duration_seconds",
            "Time of a pass, requests included.",
            ["kind"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._hotplug_seconds = Histogram(
            "nicplug_hotplug_duration_seconds",
            "From the moment a NIC change was seen to its end in the guest and the pod.",
            ["operation", "path"],
            buckets=_HOTPLUG_BUCKETS,
            registry=self.registry,
        )
        self._bugs = Counter(
            "nicplug_bugs", "Passes ended by an error that is not the API server's.", registry=self.registry
        )
        self._dropped_events = Counter(
            "nicplug_dropped_events",
            "Events given up: too many of one object or in all, or the API server took none; urgent: of a death.",
            ["urgent"],
            registry=self.registry,
        )
        for urgent in ("true", "false"):  # from the beginning, for rates and alerts
            self._dropped_events.labels(urgent)

    def requested(self, *, verb: str, resource: str, code: int, seconds: float) -> None:
        """One request has been answered, or has not."""
        self._requests.labels(verb, resource, str(code)).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def reconciled(self, *, kind: str, outcome: str, seconds: float) -> None:
        """One pass over a key has ended."""
        self._reconciles.labels(kind, outcome).inc()
        self._reconcile_seconds.labels(kind).observe(seconds)

    def failed_by_bug(self) -> None:
        """One pass ended by a bug."""
        self._bugs.inc()

    def completed(self, completion: Completion) -> None:
        """A NIC is in the guest, or out of it."""
        self._hotplug_seconds.labels(completion.operation, completion.path).observe(completion.seconds)

    def event_dropped(self, is_urgent: bool) -> None:
        """One event was given up."""
        self._dropped_events.labels(str(is_urgent).lower()).inc()

    def gauge(self, name: str, documentation: str, value: Callable[[], float], **labels: str) -> None:
        """Export a value that is read when it is scraped."""
        gauge = self._gauge(name, documentation, tuple(labels))
        (gauge.labels(**labels) if labels else gauge).set_function(value)

    def _gauge(self, name: str, documentation: str, labels: tuple[str, ...]) -> Gauge:
        known: dict[str, Gauge] = self.__dict__.setdefault("_gauges", {})
        if name not in known:
            known[name] = Gauge(name, documentation, labels, registry=self.registry)
        return known[name]

    def render(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
