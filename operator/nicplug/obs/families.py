"""What a family of metrics is: its name, its type, what it means, and every value that its labels may have.

A label value that is not declared is counted as `other`: no user, object or client can make a series of its own.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum

OTHER = "other"
"""What a label says instead of a value that is not declared."""


class MetricType(StrEnum):
    """Of Prometheus; the words of its text format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(Enum):
    """Who exports a family."""

    OPERATOR = "operator"
    API = "api"


BOTH = frozenset(Process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label.

    Attributes:
        values: all that it may have, beside `other`.
        meaning: for the documentation; "" where the values say it.
    """

    name: str
    values: tuple[str, ...]
    meaning: str = ""
    _known: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", frozenset(self.values))

    def bounded(self, value: str) -> str:
        """The value, when it is a declared one."""
        return value if value in self._known else OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of metrics.

    Attributes:
        name: as it is scraped: a counter's with `_total`.
        text: what it counts or measures, with its unit.
        buckets: upper bounds, of a histogram.
        processes: who exports it.
    """

    name: str
    type: MetricType
    text: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    processes: frozenset[Process] = frozenset({Process.OPERATOR})

    def bounded(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Values of all labels, in their order, each a declared one or `other`."""
        return tuple(label.bounded(value) for label, value in zip(self.labels, values, strict=True))

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.type is MetricType.HISTOGRAM:
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)
