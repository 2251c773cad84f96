"""Fixtures of all tests that want a real control plane: started once per pytest worker, for those who ask.

Nothing here runs at collection, so tests are collected on a machine without any cluster.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import early_end

from nicplug_sandbox import build, controlplane
from nicplug_sandbox.controlplane import ControlPlane

# Go collects garbage a third as often in the control planes of the tests while they stay under a gigabyte: that saves
# CPU (docs/performance.md has what it brings the bench).
os.environ.setdefault("GOGC", "300")
os.environ.setdefault("GOMEMLIMIT", "1GiB")

# A worker that gets a long file last works alone while the others have nothing left.
_LONG = ("integration", "conformance")


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Order the files for several workers: the long suites first, then all others in turns.

    Of these, some wait most of their time and some compute: side by side they take less than one after the other.
    """
    if not hasattr(session.config, "workerinput"):
        return
    files: dict[str, list[Path]] = {}
    for path, suite in dict.fromkeys((item.path, _suite(item)) for item in items):
        files.setdefault(suite, []).append(path)
    places = {path: place / len(paths) for paths in files.values() for place, path in enumerate(paths)}

    def rank(item: pytest.Item) -> tuple[int, float]:
        suite = _suite(item)
        if suite in _LONG:
            return _LONG.index(suite), 0.0
        return (len(_LONG), places[item.path]) if suite in early_end.SUITES_WITHOUT else (-1, 0.0)

    items.sort(key=rank)


def _suite(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A worker is handed the suites in order: what only the earlier ones want is ended."""
    if hasattr(item.config, "workerinput"):
        early_end.end_before(_suite(item))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the programs ready before the first test: a first build takes minutes, a test may take two."""
    needs = {"control_plane", "sandbox"}
    wanted = any(needs.intersection(getattr(item, "fixturenames", ())) for item in session.items)
    if wanted and not session.config.option.collectonly:
        build.resolve(progress=lambda message: print(f"nicplug: {message}", file=sys.__stderr__, flush=True))


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this worker's own: no CRDs, no nodes, no objects but the system's."""
    directory = tmp_path_factory.mktemp("control-plane")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        found = controlplane.start(directory=directory, progress=print)
        early_end.note(stack)
        yield found
