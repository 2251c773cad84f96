"""The time by which the operator decides: nobody can set it (docs/adr/0037).

The wall clock as it was when the process began, and from then on a clock that only goes forwards. What a process has
written, what it remembers and what it compares these with are of one time then, whatever happens to the machine's
clock meanwhile. When that has differed for long, the process is to begin again, with the machine's time.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

TOLERANCE_SECONDS = 10.0
"""What the two may differ by: less than a person notices, more than time synchronisation steps by once it works."""
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 1.0


def _ticks() -> float:
    """Seconds of a clock that nobody sets; on Linux it counts while the machine is suspended, as others' clocks do."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


def _wall() -> datetime:
    return datetime.now(UTC)


class SteadyClock:
    """Call it for the current time, UTC.

    Args:
        wall: the machine's time, UTC.
        ticks: seconds of a clock that nobody sets.
    """

    def __init__(self, *, wall: Callable[[], datetime] = _wall, ticks: Callable[[], float] = _ticks) -> None:
        self._wall, self._ticks = wall, ticks
        self._began, self._first_tick = wall(), ticks()

    def __call__(self) -> datetime:
        """Now."""
        return self._began + timedelta(seconds=self._ticks() - self._first_tick)

    def behind_seconds(self) -> float:
        """How much the machine's clock is ahead of it; negative when that has been set back."""
        return (self._wall() - self()).total_seconds()

    async def until_wrong(self) -> float:
        """Wait until it has differed from the machine's for a minute without a break.

        Returns:
            `behind_seconds`.
        """
        differs_for = 0.0
        while differs_for < PATIENCE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            differs_for = differs_for + _LOOK_SECONDS if abs(self.behind_seconds()) > TOLERANCE_SECONDS else 0.0
        return self.behind_seconds()
