"""Values that a planning pass needs repeatedly, computed once in the pass and dropped at its end.

A planner is pure, so whatever it computes from immutable records stays the same until it ends. It needs many values
once per NIC, and an object may have hundreds of NICs and a megabyte of spec. Nothing is kept between passes: a parsed
object takes several times the memory of its text, and a cache holds thousands.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Results of a function in the pass, by the ids of its arguments; these stay referenced as long as their ids are keys.
_Results = dict[Any, tuple[Any, tuple[Any, ...]]]


class _Pass:
    """The current pass.

    Attributes:
        is_running: while False, nothing is memoized.
        results: results of every function called in the pass.
    """

    __slots__ = ("is_running", "results")

    def __init__(self) -> None:
        self.is_running = False
        self.results: list[_Results] = []

    def end(self) -> None:
        """Drop all results."""
        self.is_running = False
        for results in self.results:
            results.clear()
        self.results.clear()


_PASS = _Pass()


@contextmanager
def planning_pass() -> Iterator[None]:
    """Memoize `once_per_pass` functions until the end; a nested pass is part of the outer one."""
    if _PASS.is_running:
        yield
        return
    _PASS.is_running = True
    try:
        yield
    finally:
        _PASS.end()


def once_per_pass(function: Callable[P, R]) -> Callable[P, R]:
    """Make a pure function of immutable objects compute each result once per planning pass.

    Arguments are compared by identity: an equal text in another object is computed again. All callers share the result:
    never modify it.
    """
    results: _Results = {}

    @wraps(function)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _PASS.is_running:
            return function(*args, **kwargs)
        values = (*args, *kwargs.values()) if kwargs else args
        key = id(values[0]) if len(values) == 1 else tuple(map(id, values))
        found = results.get(key)
        if found is None:
            if not results:
                _PASS.results.append(results)
            found = results[key] = (function(*args, **kwargs), values)
        result: R = found[0]
        return result

    return remembering
