"""The order of the test files, and the end of what a pytest worker has started for its session once none wants it.

An idle control plane takes a twentieth of a core, an idle sandbox with an operator a tenth, and each worker may have
both: so a worker runs the files that want one kind one after the other.
"""

from collections.abc import Collection
from contextlib import ExitStack
from enum import IntEnum


class Wants(IntEnum):
    """What the tests of a file share with those of other files, in the order in which workers are given the files."""

    OWN = 0
    """They start what they need themselves. First, as these are the longest."""
    SANDBOX = 1
    CONTROL_PLANE = 2
    CONFORMANCE = 3
    NOTHING = 4


_SUITES = {"api": Wants.NOTHING, "sim": Wants.NOTHING, "unit": Wants.NOTHING, "conformance": Wants.CONFORMANCE}
_running: list[tuple[Wants, ExitStack]] = []


def wants(*, suite: str, fixtures: Collection[Collection[str]]) -> Wants:
    """What a file wants.

    Args:
        suite: its folder in `tests`.
        fixtures: the names of those that each of its tests uses.
    """
    if suite != "integration":
        return _SUITES.get(suite, Wants.OWN)
    if any("sandbox" in names for names in fixtures):
        return Wants.SANDBOX
    return Wants.CONTROL_PLANE if all("control_plane" in names for names in fixtures) else Wants.OWN


def note(stack: ExitStack, *, last: Wants) -> None:
    """Have this closed before the first file behind those; the fixture closes it once more, which does nothing."""
    _running.append((last, stack))


def end_before(what: Wants) -> None:
    """A test of such a file is next."""
    for entry in [entry for entry in reversed(_running) if entry[0] < what]:
        _running.remove(entry)
        entry[1].close()
