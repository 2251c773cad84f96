"""How late the event loop is: whatever holds it up holds up watches, workers and the Lease."""

import asyncio
from collections.abc import Callable

INTERVAL_SECONDS = 1.0


async def watch_loop_lag(lagged: Callable[[float], None], *, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Ask the loop to come back, and say how much too late it did, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_seconds
        await asyncio.sleep(interval_seconds)
        lagged(max(0.0, loop.time() - due))
