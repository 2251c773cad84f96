"""What the aggregated API server counts. No label says what a client has made up, and none names an object."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """Requests to this server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._requests = Counter(
            "nicplug_subresource_requests",
            "Requests to the aggregated API; subresource is empty for anything else.",
            ["subresource", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "nicplug_subresource_request_duration_seconds",
            "Time until the answer was ready.",
            ["subresource"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def answered(self, *, subresource: str, code: int, seconds: float) -> None:
        """One request has been answered."""
        self._requests.labels(subresource, str(code)).inc()
        if subresource:
            self._seconds.labels(subresource).observe(seconds)

    def watch(self, *, under_way: Callable[[], float], remembered: Callable[[], float]) -> None:
        """Export values that are read when they are scraped."""
        for name, text, value in (
            ("nicplug_subresource_requests_under_way", "Requests for subresources not answered yet.", under_way),
            ("nicplug_access_reviews_remembered", "Entries in the cache of access reviews.", remembered),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)
