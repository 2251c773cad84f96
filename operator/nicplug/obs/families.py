"""Describes a family of metrics: its name, its type, its meaning, and the allowed values of its labels.

An undeclared label value is counted as `other`, so that no user, object or client can create additional series.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum

OTHER = "other"
"""Replaces undeclared label values."""


class MetricType(StrEnum):
    """Metric types, named as in the Prometheus text format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(Enum):
    """Processes that export metrics."""

    OPERATOR = "operator"
    API = "api"


BOTH = frozenset(Process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label.

    Attributes:
        values: all declared values, excluding `other`.
        meaning: text for the documentation; "" if the values are self-explanatory.
    """

    name: str
    values: tuple[str, ...]
    meaning: str = ""
    _known: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", frozenset(self.values))

    def bounded(self, value: str) -> str:
        """Return the value if it is declared, else `other`."""
        return value if value in self._known else OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of metrics.

    Attributes:
        name: the scraped name; a counter's ends with `_total`.
        text: what it counts or measures, with its unit.
        buckets: upper bounds of a histogram.
        processes: the processes that export it.
    """

    name: str
    type: MetricType
    text: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    processes: frozenset[Process] = frozenset({Process.OPERATOR})

    def bounded(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the values of all labels, in their order, each declared or `other`."""
        return tuple(label.bounded(value) for label, value in zip(self.labels, values, strict=True))

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Return the names to use in queries."""
        if self.type is MetricType.HISTOGRAM:
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)
