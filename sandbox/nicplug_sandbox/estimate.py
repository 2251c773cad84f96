"""How far a build is and how long it still takes, judged by bytes of source instead of packages.

Half of the packages are tiny and come first: counted, a build is "half done" after a tenth of its time.
Pure: knows neither clocks nor processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# Linking has no package of its own; measured as this share of the time of a whole build (docs/adr/0003).
LINK_SHARE = 0.04
# Measured on 2 cores, cold: bytes of source per second and core. Only for the first moments, until the
# build at hand has shown its own rate.
TYPICAL_BYTES_PER_CORE_SECOND = 190_000
TRUSTED_FRACTION = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One look at a running build."""

    compiled: int
    total: int
    fraction: float  # of the whole work, 0 to 1
    elapsed_seconds: float
    remaining_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.compiled} of {self.total} packages, {self.fraction:.0%} of the work, "
            f"{duration(self.elapsed_seconds)} so far, about {duration(self.remaining_seconds)} left"
        )


class Meter:
    """Counts what the compiler has begun; `sizes` has the bytes of source of each package to compile."""

    def __init__(self, sizes: Mapping[str, int], *, cores: int) -> None:
        self._sizes = dict(sizes)
        self._cores = cores
        self._begun: dict[str, int] = {}
        self._all_bytes = max(1, sum(sizes.values()))

    @property
    def whole_seconds(self) -> float:
        """The expected length of the whole build, before anything is known about this machine."""
        return self._all_bytes / (TYPICAL_BYTES_PER_CORE_SECOND * self._cores) / (1 - LINK_SHARE)

    def saw(self, line: str) -> bool:
        """Take one line of `go build -v`; False when it is not the name of a package to compile."""
        if (size := self._sizes.get(line)) is None:
            return False
        self._begun[line] = size
        return True

    def estimate(self, *, elapsed_seconds: float) -> Estimate:
        """The state after so many seconds."""
        # Packages are named when they begin; the last one per core is, on average, half done.
        under_way = sum(list(self._begun.values())[-self._cores :]) / 2
        fraction = max(0.0, (sum(self._begun.values()) - under_way) / self._all_bytes * (1 - LINK_SHARE))
        if fraction < TRUSTED_FRACTION:
            remaining = self.whole_seconds - elapsed_seconds
        else:
            remaining = elapsed_seconds / fraction - elapsed_seconds
        return Estimate(
            compiled=len(self._begun),
            total=len(self._sizes),
            fraction=fraction,
            elapsed_seconds=elapsed_seconds,
            remaining_seconds=max(1.0, remaining),
        )


def duration(seconds: float) -> str:
    """Seconds for people: `45 s`, `4 min 10 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"
