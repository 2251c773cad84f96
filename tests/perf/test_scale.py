"""The arithmetic of `make bench-scale`, its table, its plots and its bad input, without a cluster."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from tests.perf import scale_figures
from tests.perf.budgets import SCALE_BUDGETS, judge
from tests.perf.hand_over import CRASH, RELEASE
from tests.perf.headline import headline
from tests.perf.milestones import Hotplug, Milestone
from tests.perf.resources import AVAILABLE, OTHERS, Usage
from tests.perf.scale import QUICK, ScaleShape, main
from tests.perf.scale_figures import Measured, Reached, Rest, Started, as_json, picture, point, section, show
from tests.perf.svg_texts import texts
from tools import scale_page


def usage(cpu_seconds: float, *, rss_mib: float = 0.0) -> Usage:
    return Usage(cpu_seconds=cpu_seconds, rss_mib=rss_mib)


def hotplug(seconds: float) -> Hotplug:
    """In the annotation after so long, in the guest after twice as long."""
    seen = {Milestone.ANNOTATION: 5 + seconds, Milestone.IN_GUEST: 5 + 2 * seconds}
    return Hotplug(vm="vm", nic="nic", sent=4.9, answered=5.0, seen=seen)


def started(guest: float, *, writes: int = 6) -> Started:
    return Started(ready=guest / 2, annotation=guest - 0.1, guest=guest, cpu=guest / 4, writes=writes)


def measured(vms: int = 500) -> Measured:
    """Three starts, three hot-plugs, a rest of 20 s beside other programs."""
    rest = {"operator": usage(0.1, rss_mib=120), "kube-apiserver": usage(1.0), OTHERS: usage(1), AVAILABLE: usage(40)}
    return Measured(
        vms=vms,
        vms_per_second=12.34,
        starts=[started(2.0), started(3.0, writes=7), started(2.4)],
        hotplugs=[hotplug(0.010), hotplug(0.030), hotplug(0.020)],
        rest=Rest(seconds=20.0, writes=0, usage=rest, peak_rss_mib=150.04),
        hand_overs={RELEASE: [0.3, 0.5], CRASH: [7.0, 8.0]},
        usage={f"rest, {vms} VMIs": rest, f"start, {vms} VMIs": {OTHERS: usage(2), AVAILABLE: usage(20)}},
    )


def result(*vms: int, asked: int | None = None, reason: str = "") -> dict[str, Any]:
    """As `--save` writes it and `make docs` reads it."""
    reached = Reached(vms=vms[-1], asked=asked or vms[-1], reason=reason)
    found = {
        "shape": {},
        "nodes": 3,
        "environment": {"cpus": 2, "python": "3.11.9"},
        **as_json([point(measured(one)) for one in vms], reached=reached),
        "usage": {"rest, 500 VMIs": {OTHERS: {"cpu_seconds": 1.0}, AVAILABLE: {"cpu_seconds": 40.0}}},
    }
    saved: dict[str, Any] = json.loads(json.dumps(found))
    return saved


def test_a_point_has_medians_and_the_slowest() -> None:
    found = point(measured())
    assert (found.start_ready_s, found.start_annotation_s, found.start_guest_s) == (1.2, 2.3, 2.4)
    assert (found.start_guest_max_s, found.start_cpu_s, found.start_writes) == (3.0, 0.6, 7)
    assert (found.annotation_p50_ms, found.annotation_max_ms) == (20.0, 30.0)
    assert (found.guest_p50_ms, found.guest_max_ms) == (40.0, 60.0)
    assert (found.release_s, found.release_max_s, found.crash_s, found.crash_max_s) == (0.4, 0.5, 7.5, 8.0)


def test_rest_is_a_share_of_one_core_and_others_of_the_machine() -> None:
    found = point(measured())
    assert (found.rest_cpu_percent, found.apiserver_rest_cpu_percent) == (0.5, 5.0)
    assert (found.rss_mib, found.peak_rss_mib, found.rest_writes) == (120, 150.0, 0)
    assert found.others_percent == 10.0


def test_a_saved_result_gives_its_points_back() -> None:
    assert scale_figures.points_of(result(500, 1000)) == [point(measured(500)), point(measured(1000))]


def test_budgets_are_judged_on_the_largest_size() -> None:
    found = result(500, 1000)
    found["points"][1] |= {"start_guest_max_s": 6.0, "rest_writes": 1}
    verdicts = {verdict.budget.name: verdict.is_met for verdict in judge({"scale": found}) if verdict.budget.part}
    missed = [name for name, is_met in verdicts.items() if is_met is False]
    assert missed == [
        "largest size: start to NIC in the guest, slowest",
        "largest size: writes at rest, Lease not counted",
    ]
    assert sum(is_met is not None for is_met in verdicts.values()) == len(SCALE_BUDGETS)
    assert "2.5 % of its CPUs at most (in scale: rest, 500 VMIs)" in headline({"scale": found})


@pytest.mark.parametrize(
    ("reached", "text"),
    [
        (Reached(vms=5000, asked=5000), "5,000 of 5,000 VMIs ran"),
        (Reached(vms=3250, asked=5000, reason="out of time"), "3,250 of 5,000 VMIs ran: out of time"),
    ],
)
def test_what_was_reached_is_said(reached: Reached, text: str) -> None:
    assert str(reached) == text


def test_table_picture_and_section_have_every_size_and_say_what_was_reached() -> None:
    found = result(500, 3250, asked=5000, reason="out of time")
    shown = io.StringIO()
    show(found, console=Console(file=shown, width=110))
    for text in (shown.getvalue(), section(found)):
        assert "3,250 of 5,000 VMIs ran: out of time" in text
        assert "500 VMIs" in text
        assert "3,250 VMIs" in text
        assert "2.40 (3.00)" in text
    drawn = texts(picture(found))
    for text in ("500", "3250 VMIs", "CPU at rest, % of a core", "crash"):
        assert text in drawn
    machine = "2 cores; other programs used 2.5 % of their time at most"
    assert f"3,250 of 5,000 VMIs ran: out of time. {machine}" in drawn


def test_section_is_a_markdown_table() -> None:
    lines = [line for line in section(result(500, 1000)).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {4}
    assert lines[1] == "| --- | --: | --: |"


@pytest.mark.parametrize("shape", [ScaleShape(), QUICK, ScaleShape(sizes=(50, 100))])
def test_every_nic_of_a_shape_has_a_vm_of_its_own(shape: ScaleShape) -> None:
    shape.check()


def test_every_node_has_room() -> None:
    assert [ScaleShape(sizes=(size,)).nodes for size in (500, 4500, 5000)] == [3, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sizes", "20"], "20 is too small after 0: 37 NICs"),
        (["--sizes", "100,50,120"], "120 is too small after 100: 37 NICs"),
        (["--sizes", "a"], '"a" is not a list of numbers'),
        (["--sizes", "0"], "at least 1 VM"),
        (["--minutes", "0"], "--minutes"),
        (["--rest-seconds", "0"], "--rest-seconds"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_the_page_has_the_committed_figures() -> None:
    """`make docs` writes them; without a committed run there are none."""
    page, found = scale_page.PAGE.read_text(), scale_page.figures()
    assert scale_page.with_figures(page, found) == page
    assert scale_page.PICTURE.exists() == (found is not None)
    if found:
        assert scale_page.PICTURE.read_text() == picture(found)


def test_figures_replace_those_of_the_run_before(tmp_path: Path) -> None:
    page = scale_page.PAGE.read_text()
    once = scale_page.with_figures(page, result(500, 1000))
    assert "| 500 VMIs | 1,000 VMIs |" in once
    assert f"(images/{scale_page.PICTURE.name})" in once
    twice = scale_page.with_figures(once, result(700))
    assert "| 700 VMIs |" in twice
    assert "1,000 VMIs |" not in twice


def test_a_page_without_a_place_for_the_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="scale stands"):
        scale_page.with_figures("# Performance\n", None)


def test_sizes_are_measured_in_ascending_order() -> None:
    with pytest.raises(Exception, match="too small after 1000"):
        replace(ScaleShape(), sizes=(1000, 500)).check()
