"""Waiting for what a cluster does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# Each question is a request, which costs test and API server some milliseconds of CPU: the longer something has taken,
# the less its last fraction of a second matters.
_FIRST_PAUSE_SECONDS = 0.03
_LONGEST_PAUSE_SECONDS = 0.25
_GROWTH = 1.3


def until(found: Callable[[], Found], *, seconds: float = 60) -> Found:
    """The first true answer; a failed assertion when there was none in time."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while not (answer := found()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds:.0f} s"
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE_SECONDS)
    return answer
