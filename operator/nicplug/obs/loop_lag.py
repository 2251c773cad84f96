"""Measures the lag of the event loop: whatever blocks it delays watches, workers and the Lease."""

import asyncio
from collections.abc import Callable

INTERVAL_SECONDS = 1.0


async def watch_loop_lag(lagged: Callable[[float], None], *, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Report how much later than requested the loop resumes a sleep, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_seconds
        await asyncio.sleep(interval_seconds)
        lagged(max(0.0, loop.time() - due))
