"""The first line of a result, from results as a run makes them."""

import io
import json
from typing import Any

import pytest
from rich.console import Console
from tests.perf import report
from tests.perf.bench import BASELINE
from tests.perf.budgets import judge, rejected_percent
from tests.perf.headline import as_json, caption, headline
from tests.perf.resources import AVAILABLE, OTHERS, Usage, added, others_percent, snapshot, spent


def usage(*, others: float, available: float = 100.0) -> dict[str, dict[str, float]]:
    """Of one phase."""
    return {OTHERS: {"cpu_seconds": others}, AVAILABLE: {"cpu_seconds": available}}


def hand_over(*, slowest: float, others: float) -> dict[str, Any]:
    """A result with two budgets, of which one has 1 s."""
    seconds = {"release": {"max": slowest}, "crash": {"max": 8.0}}
    return {"hand_over": {"seconds": seconds, "usage": {"standby starts": usage(others=others)}}}


def test_a_quiet_machine_and_budgets_that_are_met() -> None:
    text = headline(hand_over(slowest=0.9, others=0.4))
    left_out = len(judge({})) - 2
    assert text == (
        "The machine was quiet: other programs used 0.4 % of its CPUs at most (in hand_over: standby starts). "
        f"All 2 measured budgets are met; {left_out} not measured."
    )


def test_what_falls_short_is_named_with_its_figure() -> None:
    text = headline(hand_over(slowest=1.5, others=0.4))
    assert (
        '1 of 2 measured budgets are NOT MET: "hand-over by release: NIC of that moment in the annotation" (1.5 of 1 s)'
    ) in text


@pytest.mark.parametrize(("others", "quiet"), [(5.0, True), (5.1, False)])
def test_a_phase_beside_other_programs_is_not_quiet(others: float, quiet: bool) -> None:
    result = {"usage": {"starts": usage(others=0), "burst": usage(others=others)}}
    found = as_json(result)
    assert found["quiet"] is quiet
    assert found["others_percent"] == {"starts": 0.0, "burst": others}
    assert ("NOT QUIET in 1 of 2 phases" in found["summary"]) is not quiet


def test_a_busy_size_of_the_growth_counts() -> None:
    result = {"growth": [{"vms": 100, "others_percent": 1.0}, {"vms": 200, "others_percent": 30.0}, {"vms": 400}]}
    assert "30 % of its CPUs at most (in growth: 200 VMs)" in headline(result)


def test_results_that_do_not_have_it_do_not_pass_for_quiet() -> None:
    found = as_json({"usage": {"starts": {OTHERS: {"cpu_seconds": 0.0}}}})
    assert found["quiet"] is None
    assert found["summary"].startswith("What else ran on the machine was not measured.")


def test_the_clocks_of_the_kernel_may_differ_by_a_tick() -> None:
    assert others_percent({OTHERS: -0.04, AVAILABLE: 60.0}) == 0.0


def test_others_are_what_neither_the_bench_nor_its_processes_used() -> None:
    before = snapshot(())
    sum(range(3_000_000))
    used = spent(before, snapshot(()))
    assert used["bench"].cpu_seconds > 0
    assert used[OTHERS].cpu_seconds <= used[AVAILABLE].cpu_seconds
    one = Usage(cpu_seconds=1.0, rss_mib=5)
    assert added({"a": one}, {"a": one, "b": one})["a"] == Usage(cpu_seconds=2.0, rss_mib=5)


def test_writes_that_are_rejected_count_in_every_phase() -> None:
    """One of the rest, too, in which there should be none at all."""
    phases = {"starts": {"total": 99, "rejected": 0}, "rest": {"total": 1, "rejected": 1}}
    assert rejected_percent(phases) == 1.0
    assert rejected_percent({"rest": {"total": 0, "rejected": 0}}) == 0.0


def test_a_part_with_a_sandbox_of_its_own_shows_what_was_rejected() -> None:
    result = {**hand_over(slowest=0.9, others=0.4)}
    result["hand_over"]["all_writes"] = {"total": 120, "rejected": 3}
    shown = io.StringIO()
    report.show_budgets(result, baseline={}, console=Console(file=shown, width=110))
    assert "hand_over     120         3" in shown.getvalue()


def test_a_report_begins_with_it_on_one_line() -> None:
    baseline = json.loads(BASELINE.read_text())
    shown = io.StringIO()
    report.show(baseline, baseline=None, console=Console(file=shown, width=110))
    first = shown.getvalue().splitlines()[0]
    assert first == headline(baseline)
    assert len(first) > 110


def test_a_picture_says_what_it_was_measured_on() -> None:
    part = {"usage": {"single": usage(others=1), "crowd": usage(others=7.5)}}
    assert caption({"migrations": part}, cpus=2) == "2 cores; other programs used 7.5 % of their time at most"
    assert caption({"migrations": {}}, cpus=4) == "4 cores"
