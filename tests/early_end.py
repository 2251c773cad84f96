"""Ends what a pytest worker has started for its session as soon as no test is left that wants it.

The suites run in one order (`tests/conftest.py`). An idle control plane takes a twentieth of a core, an idle sandbox
with an operator a tenth, and each worker may have both.
"""

from contextlib import ExitStack

# They come last, and want no control plane.
SUITES_WITHOUT = ("api", "sim", "unit")
_running: list[ExitStack] = []


def note(stack: ExitStack) -> None:
    """Have this closed early; the fixture closes it once more, which does nothing."""
    _running.append(stack)


def end_before(suite: str) -> None:
    """A test of this suite is next."""
    while _running and suite in SUITES_WITHOUT:
        _running.pop().close()
