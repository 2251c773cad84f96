"""Values that one planning pass needs again and again, computed once in it and dropped with it.

A planner is pure, so whatever it computes from immutable records is the same until it is through. It asks for many
values once per NIC, and an object may have hundreds of NICs and a megabyte of spec. Nothing is kept between passes: a
parsed object takes several times the memory of its text, and a cache holds thousands.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# What a function has returned in the pass, by the ids of its arguments; these stay referenced as long as their ids are
# keys.
_Results = dict[Any, tuple[Any, tuple[Any, ...]]]


class _Pass:
    """The pass that is running.

    Attributes:
        is_running: nothing is remembered while none is.
        results: those of every function that has been called in it.
    """

    __slots__ = ("is_running", "results")

    def __init__(self) -> None:
        self.is_running = False
        self.results: list[_Results] = []

    def end(self) -> None:
        """Drop everything."""
        self.is_running = False
        for results in self.results:
            results.clear()
        self.results.clear()


_PASS = _Pass()


@contextmanager
def planning_pass() -> Iterator[None]:
    """Remember what `once_per_pass` functions return until the end; a pass within a pass is part of it."""
    if _PASS.is_running:
        yield
        return
    _PASS.is_running = True
    try:
        yield
    finally:
        _PASS.end()


def once_per_pass(function: Callable[P, R]) -> Callable[P, R]:
    """Let a pure function of immutable objects compute each result once in a planning pass.

    Arguments are compared by identity: an equal text of another object is computed again. The result is shared by all
    callers, so none of them may change it.
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
