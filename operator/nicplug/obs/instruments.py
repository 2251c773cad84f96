"""Creates the metrics of one process from the catalogue, in a registry of their own.

Tests and several operators in one process never share counters, and nothing is exported that the catalogue does not
declare, neither a family nor a label value.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from nicplug.obs.catalogue import FAMILIES
from nicplug.obs.families import Family, MetricType, Process

# Otherwise each counter and histogram exports another series, which is of no use. The library has one switch for all.
disable_created_metrics()  # type: ignore[no-untyped-call]

Sample = tuple[tuple[str, ...], float]
"""Label values, in the order of the catalogue, and the value."""


_Series = tuple[str, tuple[str, ...]]
_M = TypeVar("_M", Counter, Histogram)


class Instruments:
    """Counts, observes and exports; raises KeyError for a name that the process does not export."""

    def __init__(self, process: Process) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.families = {family.name: family for family in FAMILIES if process in family.processes}
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Gauge] = {}
        # The library looks up a series under a lock, by a tuple that it builds from stringified values.
        self._counting: dict[_Series, Counter] = {}
        self._observing: dict[_Series, Histogram] = {}
        for family in self.families.values():
            self._make(family)

    def _make(self, family: Family) -> None:
        """Create a counter or histogram; a gauge is created when its callback is registered."""
        names = tuple(label.name for label in family.labels)
        if family.type is MetricType.COUNTER:
            self._counters[family.name] = Counter(family.name, family.text, names, registry=self.registry)
        elif family.type is MetricType.HISTOGRAM:
            self._histograms[family.name] = Histogram(
                family.name, family.text, names, buckets=family.buckets, registry=self.registry
            )

    def count(self, name: str, *values: str, by: float = 1) -> None:
        """Add to a counter; `values` are its label values, in their order."""
        series = name, self.families[name].bounded(values)
        if (child := self._counting.get(series)) is None:
            child = self._counting[series] = _child(self._counters[name], series[1])
        child.inc(by)

    def observe(self, name: str, seconds: float, *values: str) -> None:
        """Add an observation to a histogram."""
        series = name, self.families[name].bounded(values)
        if (child := self._observing.get(series)) is None:
            child = self._observing[series] = _child(self._histograms[name], series[1])
        child.observe(seconds)

    def gauge(self, name: str, read: Callable[[], float], *values: str) -> None:
        """Export a gauge whose value is read at scrape time."""
        family = self.families[name]
        if name not in self._gauges:
            names = [label.name for label in family.labels]
            self._gauges[name] = Gauge(name, family.text, names, registry=self.registry)
        gauge = self._gauges[name]
        (gauge.labels(*family.bounded(values)) if values else gauge).set_function(read)

    def samples(self, name: str, read: Callable[[], Iterable[Sample]]) -> None:
        """Export a gauge with a changing set of series: those that `read` returns at scrape time."""
        self.registry.register(_Sampled(self.families[name], read))

    def constant(self, name: str, labels: Mapping[str, str]) -> None:
        """Export a gauge that is always 1; its labels describe the process, never an object."""
        family = self.families[name]
        Gauge(name, family.text, list(labels), registry=self.registry).labels(**labels).set(1)

    def render(self) -> bytes:
        """Render the metrics in the Prometheus text format."""
        return generate_latest(self.registry)


def _child(metric: _M, values: tuple[str, ...]) -> _M:
    return metric.labels(*values) if values else metric


class _Sampled(Collector):
    def __init__(self, family: Family, read: Callable[[], Iterable[Sample]]) -> None:
        self._family, self._read = family, read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the current series; the values of undeclared labels are summed."""
        found: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for values, value in self._read():
            found[self._family.bounded(values)] += value
        names = [label.name for label in self._family.labels]
        metric = GaugeMetricFamily(self._family.name, self._family.text, labels=names)
        for values, value in sorted(found.items()):
            metric.add_metric(values, value)
        yield metric
