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

_Key = tuple[Any, ...]


class _Pass:
    """The pass that is running.

    Attributes:
        results: of each function and the ids of its arguments; these stay referenced as long as their ids are keys.
            None while no pass is running, and then nothing is remembered.
    """

    def __init__(self) -> None:
        self.results: dict[_Key, tuple[Any, _Key]] | None = None


_PASS = _Pass()


@contextmanager
def planning_pass() -> Iterator[None]:
    """Remember what `once_per_pass` functions return until the end; a pass within a pass is part of it."""
    if _PASS.results is not None:
        yield
        return
    _PASS.results = {}
    try:
        yield
    finally:
        _PASS.results = None


def once_per_pass(function: Callable[P, R]) -> Callable[P, R]:
    """Let a pure function of immutable objects compute each result once in a planning pass.

    Arguments are compared by identity: an equal text of another object is computed again. The result is shared by all
    callers, so none of them may change it.
    """

    @wraps(function)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> R:
        known = _PASS.results
        if known is None:
            return function(*args, **kwargs)
        values = (*args, *kwargs.values())
        key = (function, *map(id, values))
        found = known.get(key)
        if found is None:
            found = known[key] = (function(*args, **kwargs), values)
        result: R = found[0]
        return result

    return remembering
