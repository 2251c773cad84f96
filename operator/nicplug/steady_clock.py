"""The clock for all decisions of the operator, which nobody can set (docs/adr/0037).

It starts at the wall-clock time of process start and advances with a monotonic clock. What a process has written, what
it remembers and what it compares these with are thus on one time scale, whatever happens to the machine's clock. If the
two differ for long, the process must restart to adopt the machine's time.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

TOLERANCE_SECONDS = 10.0
"""Allowed difference: too small for people to notice, larger than the steps of a working time synchronisation."""
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 1.0


def _ticks() -> float:
    """Return monotonic seconds; on Linux they include the time in suspend, as clocks of other machines do."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


def _wall() -> datetime:
    return datetime.now(UTC)


class SteadyClock:
    """A callable that returns the current time, UTC.

    Args:
        wall: returns the machine's time, UTC.
        ticks: returns monotonic seconds.
    """

    def __init__(self, *, wall: Callable[[], datetime] = _wall, ticks: Callable[[], float] = _ticks) -> None:
        self._wall, self._ticks = wall, ticks
        self._began, self._first_tick = wall(), ticks()

    def __call__(self) -> datetime:
        """Return the current time, UTC."""
        return self._began + timedelta(seconds=self._ticks() - self._first_tick)

    def behind_seconds(self) -> float:
        """Return how far the machine's clock is ahead of this one; negative if that was set back."""
        return (self._wall() - self()).total_seconds()

    async def until_wrong(self) -> float:
        """Wait until this clock has differed from the machine's for a minute without interruption.

        Returns:
            The difference, as `behind_seconds` returns it.
        """
        differs_for = 0.0
        while differs_for < PATIENCE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            differs_for = differs_for + _LOOK_SECONDS if abs(self.behind_seconds()) > TOLERANCE_SECONDS else 0.0
        return self.behind_seconds()
