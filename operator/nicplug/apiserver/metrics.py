"""Who counts the requests to the aggregated API server."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class RequestMetrics(Protocol):
    """Counts requests; `obs.metrics` has one."""

    def answered(self, *, subresource: str, code: int, seconds: float) -> None:
        """One request has been answered; `subresource` is empty for anything but a subresource that is served."""
        ...

    def failed_by_bug(self) -> None:
        """A request ended in an error that is nicplug's own."""
        ...

    def watch(self, *, under_way: Callable[[], float], remembered: Callable[[], float]) -> None:
        """Export how many requests are under way, and how many access reviews are remembered."""
        ...

    def export_expiry(self, certificate: str, expires: Callable[[], datetime | None]) -> None:
        """Export when a certificate expires; None while there is none."""
        ...
