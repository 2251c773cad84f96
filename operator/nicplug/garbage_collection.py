"""Tunes Python's garbage collector for a long-running process with a large heap."""

import gc

# Reference counting frees nearly everything; the rest are cycles of requests and tasks, a few MB at most.
_THRESHOLDS = (10_000, 20, 100)


def settle_garbage_collector() -> None:
    """Exclude existing objects from garbage collection, and collect the rest rarely.

    Passes over caches and modules caused the whole p99 of a hot-plug (now 3 ms instead of 34 ms), and that of a request
    to the aggregated API.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
