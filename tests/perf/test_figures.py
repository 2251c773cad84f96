"""The bench's arithmetic, without a cluster."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.perf import migration_report, results
from tests.perf.audit import AuditLog, Write, counted, tally, without_lease
from tests.perf.budgets import BUDGETS, Verdict, judge
from tests.perf.flame import profile
from tests.perf.growth import Point, save_picture, show, worst
from tests.perf.results import percentile, summary
from tests.perf.svg_texts import texts
from tests.perf.timeline import STEPS, timelines

START = datetime(2026, 1, 1, tzinfo=UTC)


def entry(**changes: Any) -> dict[str, Any]:
    """One line of an audit log."""
    return {
        "verb": "patch",
        "user": {"username": "system:serviceaccount:nicplug-system:nicplug-operator"},
        "userAgent": "nicplug",
        "objectRef": {"resource": "pods", "subresource": "status", "namespace": "a", "name": "b"},
        "responseStatus": {"code": 422},
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
        "stageTimestamp": "2026-01-01T00:00:00.004000Z",
        **changes,
    }


def write(resource: str, *, agent: str = "nicplug", at: float, name: str = "vm", code: int = 200) -> Write:
    """A patch that took 2 ms."""
    received = START + timedelta(milliseconds=at)
    return Write(
        verb="patch", resource=resource, code=code, user="", user_agent=agent, namespace="bench", name=name,
        received=received, answered=received + timedelta(milliseconds=2),
    )  # fmt: skip


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (75, 3), (99, 4), (100, 4), (1, 1)])
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected


def test_summary_is_in_milliseconds() -> None:
    assert summary([0.0101, 0.0202]) == {"p50": 10.1, "p95": 20.2, "p99": 20.2, "max": 20.2}


def test_audit_log_counts_writes_after_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(json.dumps(entry(verb="create")) + "\n")
    log = AuditLog(path)
    mark = log.mark()
    with path.open("a") as handle:
        handle.write('{"half a li')
    assert log.mark() == mark, "a line that is being written comes after the mark"
    path.write_text(json.dumps(entry(verb="create")) + "\n")
    lines = [entry(), entry(verb="watch"), entry(user={"username": "somebody"}), entry(verb="update", objectRef={
        "resource": "leases", "namespace": "a", "name": "b"}, responseStatus={"code": 200})]  # fmt: skip
    with path.open("a") as handle:
        handle.write("".join(json.dumps(line) + "\n" for line in lines) + '{"half a li')
    found = log.writes(since=mark, user="system:serviceaccount:nicplug-system:nicplug-operator")
    assert counted(found, by=lambda one: f"{one.verb} {one.resource}") == {"patch pods/status": 1, "update leases": 1}
    assert [one.is_rejected for one in found] == [True, False]
    assert [one.resource for one in without_lease(found)] == ["pods/status"]
    assert len(log.writes()) == 4


def hotplug(at: float) -> list[Write]:
    """The writes of one hot-plug, 10 ms apart."""
    names = {"pods": "virt-launcher-vm-abcde", "pods/status": "virt-launcher-vm-abcde"}
    return [
        write(step.resource, agent=step.user_agent, at=at + 10 * number, name=names.get(step.resource, "vm"))
        for number, step in enumerate(STEPS)
    ]


def test_a_tally_has_the_writes_of_all_accounts_of_nicplug_but_the_lease(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    of_the_api = {"username": "system:serviceaccount:nicplug-system:nicplug-api"}
    lines = [
        entry(),
        entry(user=of_the_api, responseStatus={"code": 200}),
        entry(user={"username": "system:admin"}),
        entry(verb="get"),
        entry(
            verb="update", objectRef={"resource": "leases", "namespace": "nicplug-system", "name": "nicplug-operator"}
        ),
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert tally(AuditLog(path)) == {"total": 2, "rejected": 1}


def test_timeline_tells_reaction_from_service() -> None:
    (steps,) = timelines([*hotplug(0), write("pods", at=3, name="virt-launcher-other-abcde")], vm="vm")
    assert [round(timing.served * 1000) for timing in steps] == [2] * len(STEPS)
    assert [round(timing.reaction * 1000) for timing in steps] == [0, *[8] * (len(STEPS) - 1)]


def test_timeline_takes_hotplugs_apart_and_leaves_out_incomplete_ones() -> None:
    assert len(timelines([*hotplug(0), *hotplug(1000)], vm="vm")) == 2
    assert len(timelines([*hotplug(0)[:-2], *hotplug(1000)], vm="vm")) == 1


@pytest.mark.parametrize(("measured", "met"), [(14.9, True), (15.0, True), (15.1, False), (None, None)])
def test_verdict_is_honest(measured: float | None, met: bool | None) -> None:
    assert BUDGETS[0].limit == 15
    assert Verdict(budget=BUDGETS[0], measured=measured).is_met is met


def test_profile_blames_the_innermost_known_layer_of_its_window(tmp_path: Path) -> None:
    stacks = [
        {"second": 10, "stack": ["json/decoder.py:decode", "nicplug/model/vmi.py:parse_vmi", "kopf/x.py:run"],
         "samples": 3},
        {"second": 11, "stack": ["kopf/x.py:run", "asyncio/events.py:_run"], "samples": 1},
        {"second": 99, "stack": ["kopf/x.py:run"], "samples": 50},
    ]  # fmt: skip
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in stacks))
    found = profile(path, window=(10.0, 12.0))
    assert found.samples == 4
    assert [(one.name, one.share) for one in found.areas] == [("nicplug: model (parse)", 0.75), ("Kopf", 0.25)]
    assert found.lines[0].name == "json/decoder.py:decode"
    assert {one.name: one.samples for one in found.functions}["kopf/x.py:run"] == 4


def growth(*latencies: float) -> list[Point]:
    """Sizes 1, 2, 4, ... with these latencies to the annotation; everything else is flat."""
    return [
        Point(
            vms=2**index,
            annotation_p50_ms=latency,
            guest_p50_ms=20,
            operator_ms_per_hotplug=15,
            apiserver_ms_per_hotplug=40,
            operator_ms_per_start=25,
            writes_per_hotplug=6,
            writes_per_start=9,
            rss_mib=90 + index,
        )
        for index, latency in enumerate(latencies)
    ]


def test_growth_tells_every_figure_with_its_ratio_and_names_what_grew_most() -> None:
    points = growth(10, 11, 15)
    shown = io.StringIO()
    show(points, console=Console(file=shown, width=110))
    text = shown.getvalue()
    assert "11 (1.10)" in text
    assert "15 (1.50)" in text
    assert "92 (1.02)" in text
    expected = "From 1 to 4 VMs (4 times as many) the cost per event that grew most grew 1.50 times: idle hot-plug"
    assert worst(points).startswith(expected)


def test_picture_of_growth_has_axes_of_vms_and_of_each_unit(tmp_path: Path) -> None:
    path = tmp_path / "build" / "growth.svg"
    save_picture(growth(10, 11, 15), path=path)
    picture = path.read_text()
    assert "url(http" not in picture
    found = texts(picture)
    for text in (
        "4 VMs",
        "2",
        "20 ms",
        "100 MiB",
        "to the guest",
        "kube-apiserver, a hot-plug",
        worst(growth(10, 11, 15)),
    ):
        assert text in found


MIGRATIONS: dict[str, Any] = {
    "shape": {"vms": 100},
    "milliseconds": {
        name: {"status.interfaces, domain": {"p50": 700.0, "p95": 800.0, "p99": 2600.0, "max": 2700.0}}
        for name in ("single", "crowd")
    },
    "steps": {
        "migration made": {"p50": 20.0, "p95": 30.0, "p99": 30.0, "max": 30.0},
        "Succeeded": {"p50": 720.0, "p95": 800.0, "p99": 800.0, "max": 800.0},
    },
    "single": {"nics": 30},
    "crowd": {"nics": 100, "failed": 1, "doubled": 0, "peak_cluster": 6, "peak_outbound": 2, "peak_inbound": 2},
    "running": {"crowd": [[10.0, 5], [20.0, 2], [30.0, 0]]},
    "over_time": {
        "slots": [[0, 0], [1, 5], [20, 0]],
        "queue": [[0, 0], [1, 95], [15, 0]],
        "arrived": [[0, 0], [20, 100]],
    },
    "writes": {
        "single": {"total": 600, "events": 60, "rejected": 0, "by_kind": {"patch pods 200": 60}},
        "crowd": {"total": 2000, "events": 200, "rejected": 0, "by_kind": {"patch pods 200": 200}},
    },
}


def migrations(**changes: Any) -> dict[str, Any]:
    """A result of migrations that exceeds a limit, fails once, and is slow once."""
    shape = {"vms": 100, "copy_seconds": 0.3, "nodes": 3}
    explained = {
        "seconds": 25.0, "rounds": 20, "limit": 5, "copy_seconds": 0.3, "overhead_alone": 0.4, "copies_alone": 6.0,
        "overhead_together": 0.6, "expected_alone": 14.0, "expected_together": 18.0, "slots_used": 3.6,
        "limits": {"cluster": 5, "outbound": 2, "inbound": 2}, "arrival_alone": 0.05, "arrival_together": 0.15,
    }  # fmt: skip
    outcome = {"migrations": 100, "succeeded": 99, "unfinished": 0, "slot_seconds": 0.9}
    quiet = {"failed": 0, "doubled": 0, "peak_cluster": 1, "peak_outbound": 1, "peak_inbound": 1}
    found = {
        **MIGRATIONS,
        "shape": shape,
        "single": {**outcome, **quiet, "nics": 30},
        "crowd": {**outcome, **MIGRATIONS["crowd"], **explained},
    }
    return {**found, **changes}


def test_what_is_saved_to_compare_with_has_no_moments_and_all_else(tmp_path: Path) -> None:
    results.save({"shape": {"vms": 1}, "migrations": migrations()}, path=tmp_path / "baseline.json")
    found = json.loads((tmp_path / "baseline.json").read_text())
    expected = migrations()
    del expected["running"], expected["over_time"]
    assert found == {"shape": {"vms": 1}, "migrations": expected}


def test_a_budget_of_migrations_is_judged_only_when_they_were_measured() -> None:
    verdicts = {one.budget.name: one for one in judge({"migrations": migrations()}) if one.budget.part == "migrations"}
    assert {name.rpartition(": ")[2]: one.is_met for name, one in verdicts.items() if "100 VMs" in name} == {
        "failed": False,
        "doubled": True,
        "in the cluster": False,
        "from one node": True,
        "to one node": True,
    }
    others = [one.measured for name, one in verdicts.items() if "100 VMs" not in name]
    assert others == [0.7, 2.6, 0.0]
    assert all(one.measured is None for one in judge({}))


def test_report_of_migrations_explains_the_total_and_compares_writes() -> None:
    shown = io.StringIO()
    before = migrations()
    before["writes"] = {**before["writes"], "single": {**before["writes"]["single"], "total": 300}}
    migration_report.show(migrations(), baseline=before, console=Console(file=shown, width=110))
    text = shown.getvalue()
    assert "ceil(100/5) x (0.3 s) = 20 x 0.3" in text
    assert "ceil(100/5) x (0.3 + 0.6 s) = 20 x 0.3 + 0.6" in text
    assert "3.6 of 5 slots in use on average" in text
    assert re.search(r"of this overhead +waiting for the node that the scheduler chose +2\.0\n", text)
    assert "20.00 (2.00)" in text, "writes per NIC, and times the baseline"
    rows = {
        line[:24].strip(): line.split()[-1] for line in text.splitlines() if line.startswith(("at once,", "failed"))
    }
    assert rows == {"failed": "1", "at once, cluster": "6", "at once, from one node": "2", "at once, to one node": "2"}


def test_picture_of_migrations_has_slots_queue_and_arrivals_over_time(tmp_path: Path) -> None:
    migration_report.save_picture(migrations(), path=tmp_path / "migrations.svg")
    picture = (tmp_path / "migrations.svg").read_text()
    assert "url(http" not in picture
    found = texts(picture)
    for text in ("Migrations with a slot", "limit of the cluster, 5", "100", "20 s", "until migration made", "600 ms"):
        assert text in found
    assert "100 NICs asked for at once, each by a migration whose copy takes 0.3 s" in found


def test_corners_of_a_step_function() -> None:
    assert migration_report.stairs([(0, 0), (1, 5), (3, 0)], end=4) == [(0, 0), (1, 0), (1, 5), (3, 5), (3, 0), (4, 0)]
    assert migration_report.stairs([], end=4) == []


def test_mean_of_a_step_function_in_pieces() -> None:
    assert migration_report.binned([[10.0, 5], [12.0, 1], [14.0, 0]], bins=2) == [(0.0, 5.0), (2.0, 1.0)]
    assert migration_report.binned([[10.0, 4], [11.0, 0], [14.0, 0]], bins=2) == [(0.0, 2.0), (2.0, 0.0)]
    assert migration_report.binned([], bins=2) == []


def test_the_largest_objects_are_judged_by_the_worst_of_their_figures() -> None:
    found = {"rss_mib": {"empty": 90.0, "created": 120.0, "restarted": 310.0}, "event_ms": {"a": 7.0, "b": 70.0}}
    verdicts = [one for one in judge({"large_objects": found}) if one.budget.part == "large_objects"]
    assert [(one.measured, one.is_met) for one in verdicts] == [(310.0, False), (70.0, True)]
    assert all(one.measured is None for one in judge({"migrations": {}}) if one.budget.part == "large_objects")
