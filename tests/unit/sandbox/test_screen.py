"""What a demonstration looks like, in a terminal, in a file, and as a picture."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from nicplug_sandbox.screen import Screen


def plain(**options: object) -> tuple[Screen, io.StringIO]:
    """A screen without a terminal."""
    output = io.StringIO()
    return Screen(Console(file=output, width=100, force_terminal=False), **options), output  # type: ignore[arg-type]


def test_steps_without_a_terminal_are_plain_lines() -> None:
    screen, output = plain()
    with screen.step("etcd") as step:
        step.tell("building")
        step.tell("building")
        step.hint("only beside a spinner")
        step.detail = "serves"
    progress, result = output.getvalue().splitlines()
    assert progress.strip() == "etcd: building"
    mark, what, seconds, *rest = result.split()
    assert (mark, what, rest) == ("✓", "etcd", ["s", "serves"])
    assert float(seconds) >= 0
    assert "\x1b" not in output.getvalue()


@pytest.mark.parametrize(("seconds", "told"), [(0.074, "74 ms"), (1.26, "1.3 s")])
def test_a_step_that_began_before_it_was_waited_for_tells_the_whole_time(seconds: float, told: str) -> None:
    """The demo said "0.0 s" below "+74 ms"."""
    screen, output = plain()
    with screen.step("the NIC is in the guest") as step:
        step.seconds = seconds
    assert output.getvalue().rstrip().endswith(f" {told}")


def test_a_table_of_a_command_keeps_its_lines_whole_in_a_pipe() -> None:
    """AGE went to a line of its own, and so did every age."""
    screen, output = plain()
    line = "kubevirt-workload-update-0123456789   Succeeded   " + "x" * 70 + "   1s"
    screen.output(f"NAME\n{line}\n")
    assert output.getvalue().splitlines() == ["  NAME", f"  {line}"]


def test_failed_step_is_marked_and_the_error_goes_on() -> None:
    screen, output = plain()
    with pytest.raises(ValueError, match="no etcd"), screen.step("etcd"):
        raise ValueError("no etcd")
    assert output.getvalue().startswith("✗ etcd")


def test_terminal_that_cannot_show_a_check_mark_gets_words() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii", write_through=True), width=100)
    screen = Screen(console)
    screen.section("A cluster")
    with screen.step("etcd"):
        pass
    assert b"done: etcd" in raw.getvalue()


def test_spinner_leaves_only_its_result() -> None:
    output = io.StringIO()
    screen = Screen(Console(file=output, width=100, force_terminal=True))
    with screen.step("etcd") as step:
        step.tell("building")
    assert output.getvalue().splitlines()[-1].count("etcd") == 1
    assert "\x1b" in output.getvalue()


def test_command_stays_as_it_is_typed() -> None:
    """A person copies it: no wrapping, no markup."""
    screen, output = plain()
    command = "kubectl get vmi [bold] \\\n    " + "-o wide " * 20
    screen.command(command)
    assert output.getvalue().rstrip("\n") == f"$ {command}"


def test_a_command_that_said_nothing_leaves_no_line() -> None:
    screen, output = plain()
    screen.output("\n")
    assert output.getvalue() == ""


def test_a_long_line_is_folded_below_its_last_column_in_a_terminal() -> None:
    output = io.StringIO()
    screen = Screen(Console(file=output, width=40, force_terminal=True, no_color=True))
    screen.output("  why          one two three four five six seven")
    assert [row.rstrip() for row in output.getvalue().splitlines()] == [
        "    why          one two three four five",
        " " * 17 + "six seven",
    ]


def test_each_picture_has_what_was_meant_for_it_and_loads_nothing(tmp_path: Path) -> None:
    screen, _ = plain(records=True)
    screen.remark("not this")
    with screen.in_picture("demo"):
        screen.moment(seconds=0.0123, what="the pod has it", who="nicplug")
    with screen.in_picture("status"):
        screen.output("NIC   PHASE\nblue   Ready")
    names = [path.name for path in screen.save_pictures(tmp_path / "images")]
    assert names == ["demo.svg", "status.svg"]
    picture = (tmp_path / "images" / "demo.svg").read_text()
    assert "PHASE" not in picture
    assert "+12&#160;ms" in picture
    assert "not&#160;this" not in picture
    assert "font-face" not in picture
    assert "url(http" not in picture


def test_screen_that_does_not_record_has_no_picture(tmp_path: Path) -> None:
    screen, _ = plain()
    with pytest.raises(RuntimeError, match="does not record"):
        screen.save_pictures(tmp_path)
