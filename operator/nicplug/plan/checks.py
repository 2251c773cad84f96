"""Ordered checks: the first one that applies decides."""

from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def first_result(checks: Iterable[Callable[P, R | None]], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """Return what the first check finds; None if no check applies. A check that does not apply returns None."""
    return next((found for check in checks if (found := check(*args, **kwargs)) is not None), None)
