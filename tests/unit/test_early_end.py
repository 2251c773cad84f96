"""In which order test files run, and when what they share ends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests import early_end
from tests.early_end import Wants

HOTPLUG, CRDS = ("sandbox", "user"), ("control_plane",)


@pytest.mark.parametrize(
    ("suite", "fixtures", "expected"),
    [
        ("soak", [("sandbox",)], Wants.OWN),
        ("integration", [(), ()], Wants.OWN),
        ("integration", [("tmp_path",), CRDS], Wants.OWN),
        ("integration", [("tmp_path",), HOTPLUG], Wants.SANDBOX),
        ("integration", [CRDS, CRDS], Wants.CONTROL_PLANE),
        ("conformance", [()], Wants.CONFORMANCE),
        ("unit", [()], Wants.NOTHING),
    ],
)
def test_what_a_file_wants(suite: str, fixtures: list[tuple[str, ...]], expected: Wants) -> None:
    assert early_end.wants(suite=suite, fixtures=fixtures) is expected


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Wants], None]]:
    monkeypatch.setattr(early_end, "_running", [])

    def start(name: str, last: Wants) -> None:
        stack = ExitStack()
        stack.callback(ended.append, name)
        early_end.note(stack, last=last)

    yield start
    ended.clear()


ended: list[str] = []


def test_a_sandbox_ends_before_the_files_that_want_a_control_plane_alone(
    running: Callable[[str, Wants], None],
) -> None:
    running("control plane", Wants.CONFORMANCE)
    running("sandbox", Wants.SANDBOX)
    for what, expected in (
        (Wants.SANDBOX, []),
        (Wants.CONTROL_PLANE, ["sandbox"]),
        (Wants.CONFORMANCE, ["sandbox"]),
        (Wants.NOTHING, ["sandbox", "control plane"]),
        (Wants.NOTHING, ["sandbox", "control plane"]),
    ):
        early_end.end_before(what)
        assert ended == expected
