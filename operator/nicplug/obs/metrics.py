"""What each process counts, by the words of those who count it. The families are in `obs.catalogue`."""

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry

from nicplug import __version__
from nicplug.obs.families import Process
from nicplug.obs.instruments import Instruments, Sample
from nicplug.plan.outcome import Completion, Measure, MigrationEnded, PathTaken, PhaseLeft


class Metrics:
    """What both processes count: requests to the API server, bugs, and how late the event loop is."""

    def __init__(self, process: Process) -> None:
        self.instruments = Instruments(process)
        self._process = process
        self._expiries: dict[str, Callable[[], datetime | None]] = {}
        self.instruments.samples("nicplug_certificate_expiry_timestamp_seconds", self._read_expiries)
        self.instruments.constant("nicplug_build_info", {"component": process.value, "version": __version__})

    @property
    def registry(self) -> CollectorRegistry:
        """Where the families are."""
        return self.instruments.registry

    def requested(self, *, verb: str, resource: str, code: int, seconds: float) -> None:
        """One request to the API server has been answered, or has not."""
        self.instruments.count("nicplug_api_requests_total", verb, resource, str(code))
        self.instruments.observe("nicplug_api_request_duration_seconds", seconds, verb)

    def failed_by_bug(self) -> None:
        """Something ended by a bug."""
        self.instruments.count("nicplug_bugs_total")

    def lagged(self, seconds: float) -> None:
        """The event loop came back so much too late."""
        self.instruments.observe("nicplug_event_loop_lag_seconds", seconds)

    def export_ready(self, problem: Callable[[], str]) -> None:
        """Export whether the process is ready.

        Args:
            problem: what keeps it from that; "" for nothing.
        """
        self.instruments.gauge("nicplug_ready", lambda: float(not problem()), self._process.value)

    def export_expiry(self, certificate: str, expires: Callable[[], datetime | None]) -> None:
        """Export when a certificate expires.

        Args:
            certificate: which one; a value of the catalogue's label.
            expires: of the one that is served with at that moment; None while there is none.
        """
        self._expiries[certificate] = expires

    def _read_expiries(self) -> Iterator[Sample]:
        for certificate, expires in self._expiries.items():
            if (moment := expires()) is not None:
                yield (self._process.value, certificate), moment.timestamp()

    def render(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return self.instruments.render()


class OperatorMetrics(Metrics):
    """What the operator counts beside that."""

    def __init__(self) -> None:
        super().__init__(Process.OPERATOR)
        for urgent in ("true", "false"):  # from the beginning, for rates and alerts
            self.instruments.count("nicplug_dropped_events_total", urgent, by=0)

    def reconciled(self, *, kind: str, outcome: str, seconds: float) -> None:
        """One pass over a key has ended."""
        self.instruments.count("nicplug_reconcile_total", kind, outcome)
        self.instruments.observe("nicplug_reconcile_duration_seconds", seconds, kind)

    def measured(self, measure: Measure) -> None:
        """A plan that has been carried out says what to count."""
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
        """One event was given up."""
        self.instruments.count("nicplug_dropped_events_total", str(is_urgent).lower())


class ApiMetrics(Metrics):
    """What `nicplug api` counts beside that. No label says what a client has made up, and none names an object."""

    def __init__(self) -> None:
        super().__init__(Process.API)

    def answered(self, *, subresource: str, code: int, seconds: float) -> None:
        """One request has been answered."""
        self.instruments.count("nicplug_subresource_requests_total", subresource, str(code))
        if subresource:
            self.instruments.observe("nicplug_subresource_request_duration_seconds", seconds, subresource)

    def watch(self, *, under_way: Callable[[], float], remembered: Callable[[], float]) -> None:
        """Export values that are read when they are scraped."""
        self.instruments.gauge("nicplug_subresource_requests_under_way", under_way)
        self.instruments.gauge("nicplug_access_reviews_remembered", remembered)
