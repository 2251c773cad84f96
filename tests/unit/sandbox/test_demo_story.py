"""How the demonstration reads watches and the audit log."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nicplug_sandbox.demo_story import Moment, Timeline, operator_writes
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.object_watch import Line, Lines
from nicplug_sandbox.screen import Screen

OPERATOR = "system:serviceaccount:nicplug-system:nicplug-operator"


def timeline() -> tuple[Timeline, io.StringIO]:
    """Two moments: asked, then done."""
    output = io.StringIO()
    moments = [
        Moment(what="asked", who="you", is_shown=lambda line: line.object.get("asked", False)),
        Moment(what="done", who="nicplug", is_shown=lambda line: line.object.get("done", False)),
    ]
    return Timeline(Screen(Console(file=output, width=100)), moments), output


def line(at: float, **content: Any) -> Line:
    """A line of a watch."""
    return Line(at=at, type="MODIFIED", object=content)


def test_moments_are_shown_once_and_timed_from_the_first() -> None:
    story, output = timeline()
    assert not story.look(line(10.0))
    assert not story.look(line(10.5, asked=True))
    assert story.next == "done"
    assert not story.look(line(10.6, asked=True))
    assert story.look(line(10.75, asked=True, done=True))
    assert story.seconds("done") == pytest.approx(0.25)
    assert [row.split()[:3] for row in output.getvalue().splitlines()] == [
        ["+0", "ms", "asked"],
        ["+250", "ms", "done"],
    ]


def test_line_of_one_watch_that_is_read_before_the_others_first_is_not_lost() -> None:
    """Found on a busy machine: the pod's line came before the VMI's, and the demo waited for ever."""
    story, output = timeline()
    assert not story.look(line(10.5, done=True))
    assert output.getvalue() == ""
    assert story.look(line(10.6, asked=True))
    assert story.seconds("done") == 0.0
    assert len(output.getvalue().splitlines()) == 2


def test_wait_says_what_did_not_come() -> None:
    lines = Lines()
    lines.put(line(1.0))
    with pytest.raises(SandboxError, match="still not true that the VMI is Running"):
        lines.until(lambda _: False, seconds=0.05, what="the VMI is Running")


def entry(verb: str, resource: str, *, user: str = OPERATOR, subresource: str = "") -> str:
    """One line of an audit log."""
    target = {"resource": resource, **({"subresource": subresource} if subresource else {})}
    return json.dumps({"verb": verb, "user": {"username": user}, "objectRef": target}) + "\n"


def test_only_the_operators_own_writes_count(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    before = entry("patch", "pods")
    log.write_text(
        before
        + entry("patch", "virtualmachineinstances", subresource="status")
        + entry("patch", "virtualmachineinstances", subresource="status", user="system:node:node01")
        + entry("list", "pods")
        + entry("update", "leases")
        + entry("patch", "pods")
        + '{"verb": "patch", "user": {"usern'  # being written
    )
    assert operator_writes(log, offset=len(before)) == {"virtualmachineinstances/status": 1, "pods": 1}
