"""Metrics of each process, with a method per fact that its components report. `obs.catalogue` declares the families."""

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry

from nicplug import __version__
from nicplug.obs.families import Process
from nicplug.obs.instruments import Instruments, Sample
from nicplug.plan.outcome import Completion, Measure, MigrationEnded, PathTaken, PhaseLeft


class Metrics:
    """Metrics of both processes: requests to the API server, bugs, and the lag of the event loop."""

    def __init__(self, process: Process) -> None:
        self.instruments = Instruments(process)
        self._process = process
        self._expiries: dict[str, Callable[[], datetime | None]] = {}
        self.instruments.samples("nicplug_certificate_expiry_timestamp_seconds", self._read_expiries)
        self.instruments.constant("nicplug_build_info", {"component": process.value, "version": __version__})

    @property
    def registry(self) -> CollectorRegistry:
        """Return the registry of all families."""
        return self.instruments.registry

    def requested(self, *, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count a request to the API server, answered or not."""
        self.instruments.count("nicplug_api_requests_total", verb, resource, str(code))
        self.instruments.observe("nicplug_api_request_duration_seconds", seconds, verb)

    def failed_by_bug(self) -> None:
        """Count an error that is a bug in nicplug."""
        self.instruments.count("nicplug_bugs_total")

    def lagged(self, seconds: float) -> None:
        """Observe how much too late the event loop resumed."""
        self.instruments.observe("nicplug_event_loop_lag_seconds", seconds)

    def export_ready(self, problem: Callable[[], str]) -> None:
        """Export whether the process is ready.

        Args:
            problem: returns why it is not ready; "" if it is.
        """
        self.instruments.gauge("nicplug_ready", lambda: float(not problem()), self._process.value)

    def export_expiry(self, certificate: str, expires: Callable[[], datetime | None]) -> None:
        """Export when a certificate expires.

        Args:
            certificate: which one; a value of the catalogue's label.
            expires: returns the expiry of the certificate in use; None if there is none.
        """
        self._expiries[certificate] = expires

    def _read_expiries(self) -> Iterator[Sample]:
        for certificate, expires in self._expiries.items():
            if (moment := expires()) is not None:
                yield (self._process.value, certificate), moment.timestamp()

    def render(self) -> bytes:
        """Render the metrics in the Prometheus text format."""
        return self.instruments.render()


class OperatorMetrics(Metrics):
    """Metrics of the operator."""

    def __init__(self) -> None:
        super().__init__(Process.OPERATOR)
        for urgent in ("true", "false"):  # exported from the start, for rates and alerts
            self.instruments.count("nicplug_dropped_events_total", urgent, by=0)

    def reconciled(self, *, kind: str, outcome: str, seconds: float) -> None:
        """Count a finished pass over a key."""
        self.instruments.count("nicplug_reconcile_total", kind, outcome)
        self.instruments.observe("nicplug_reconcile_duration_seconds", seconds, kind)

    def measured(self, measure: Measure) -> None:
        """Record a measurement from an executed plan."""
        match measure:
            case Completion(operation=operation, path=path, seconds=seconds):
                self.instruments.observe("nicplug_hotplug_duration_seconds", seconds, operation, path)
            case PhaseLeft(path=path, phase=phase, seconds=seconds):
                self.instruments.observe("nicplug_hotplug_phase_duration_seconds", seconds, path, phase)
            case PathTaken(path=path, reason=reason):
                self.instruments.count("nicplug_path_choices_total", path, reason)
            case MigrationEnded(phase=phase, reason=reason):
                self.instruments.count("nicplug_migrations_ended_total", phase, reason)

    def event_dropped(self, is_urgent: bool) -> None:
        """Count a dropped Event."""
        self.instruments.count("nicplug_dropped_events_total", str(is_urgent).lower())


class ApiMetrics(Metrics):
    """Metrics of `nicplug api`. No label contains client input or the name of an object."""

    def __init__(self) -> None:
        super().__init__(Process.API)

    def answered(self, *, subresource: str, code: int, seconds: float) -> None:
        """Count an answered request."""
        self.instruments.count("nicplug_subresource_requests_total", subresource, str(code))
        if subresource:
            self.instruments.observe("nicplug_subresource_request_duration_seconds", seconds, subresource)

    def watch(self, *, under_way: Callable[[], float], remembered: Callable[[], float]) -> None:
        """Export gauges that are read at scrape time."""
        self.instruments.gauge("nicplug_subresource_requests_under_way", under_way)
        self.instruments.gauge("nicplug_access_reviews_remembered", remembered)
