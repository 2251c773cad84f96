"""Interface to the metrics of the aggregated API server."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class RequestMetrics(Protocol):
    """Counts requests; `obs.metrics` implements it."""

    def answered(self, *, subresource: str, code: int, seconds: float) -> None:
        """Count an answered request; `subresource` is empty for anything but a served subresource."""
        ...

    def failed_by_bug(self) -> None:
        """Count a request that failed because of a bug in nicplug."""
        ...

    def watch(self, *, under_way: Callable[[], float], remembered: Callable[[], float]) -> None:
        """Export the number of requests in flight and of cached access reviews."""
        ...

    def export_expiry(self, certificate: str, expires: Callable[[], datetime | None]) -> None:
        """Export when a certificate expires; None while there is none."""
        ...
