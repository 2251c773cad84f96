"""What counts as lost, as doubled, and as a stall; how wishes are dealt; what the report says."""

import io
import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest
from rich.console import Console
from tests.chaos import report
from tests.chaos.accounts import NETWORKS, Hotplug, account, copies_of, doubled_writes, longest_stall
from tests.chaos.drills import DRILLS
from tests.chaos.report import Outcome
from tests.chaos.shape import BY_MIGRATION, FULL, IN_PLACE, QUICK, Shape, deal
from tests.perf.audit import Write

from nicplug_sandbox.node.api import Json

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def hotplug(nic: str, *, asked: float | None = 0.0, ready: float | None = 1.0, path: str = "Dynamic") -> Hotplug:
    return Hotplug(drill="d", vm="vm", nic=nic, asked=asked, ready=ready, path=path)


def test_a_nic_is_lost_when_it_did_not_come_or_has_gone_and_doubled_when_it_is_there_twice() -> None:
    nics = [
        hotplug("good"),
        hotplug("moved", path="Migration", ready=3.5),
        hotplug("late", ready=None),
        hotplug("gone"),
        hotplug("twice"),
        hotplug("refused", asked=None, ready=None),
    ]
    copies = {("vm", "good"): 1, ("vm", "moved"): 1, ("vm", "late"): 1, ("vm", "twice"): 2}
    found = account("d", nics, copies=copies, evidence="e", window=(0.0, 10.0))
    assert (found.started, found.finished, found.in_place, found.migrated) == (5, 4, 3, 1)
    assert found.lost == ("vm/late", "vm/gone")
    assert found.doubled == ("vm/twice",)
    assert found.longest_wait == 3.5


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([], 0.0),
        ([(0, 1)], 1.0),
        ([(0, 1), (5, 6)], 1.0),
        ([(0, 4), (1, 2), (2, 3)], 2.0),
        ([(0, None)], 20.0),
        ([(0, 1), (0, 9)], 8.0),
        ([(3, 2)], 0.0),
    ],
    ids=str,
)
def test_a_stall_is_a_time_for_which_nics_wait_and_none_arrives(
    moments: list[tuple[float, float | None]], expected: float
) -> None:
    nics = [hotplug(str(index), asked=asked, ready=ready) for index, (asked, ready) in enumerate(moments)]
    assert longest_stall(nics, until=20.0) == expected


def place(*, guest: int = 1, annotation: int = 1, status: int = 1, spec: int = 1) -> int:
    elements = json.dumps([{"name": "n-net"}] * annotation)
    vmi: Json = {
        "spec": {"domain": {"devices": {"interfaces": [{"name": "n"}] * spec}}},
        "status": {"interfaces": [{"name": "n"}] * status},
    }
    pod: Json = {"metadata": {"annotations": {NETWORKS: elements}}}
    return copies_of("n", network="n-net", guest={"nics": [{"name": "n"}] * guest}, vmi=vmi, pod=pod)


def test_a_nic_is_counted_in_guest_annotation_status_and_spec() -> None:
    assert place() == 1
    assert [place(guest=2), place(annotation=2), place(status=2)] == [2, 2, 2]
    assert [place(guest=0), place(annotation=0), place(status=0), place(spec=0)] == [0, 0, 0, 0]


def write(verb: str, resource: str, name: str, code: int = 200) -> Write:
    return Write(verb=verb, resource=resource, code=code, user="", user_agent="", namespace="", name=name,
                 received=NOW, answered=NOW)  # fmt: skip


def test_the_audit_log_tells_what_was_done_twice() -> None:
    once = [write("create", "pods", "p", 201), write("create", "pods", "p", 409), write("patch", "pods", "p")]
    asked, vms = {"vm": 1}, {"p": "vm"}
    assert doubled_writes([*once, write("patch", "pods", "p")], asked=asked, vm_of_pod=vms) == []
    assert doubled_writes([*once, write("create", "events", "e", 201)] * 2, asked=asked, vm_of_pod=vms) == [
        "pods p: created 2 times"
    ]
    patches = [write("patch", "pods", "p")] * 3
    assert doubled_writes(patches, asked=asked, vm_of_pod=vms) == ["pod p: patched 3 times for 1 NICs"]
    refused = [write("patch", "pods", "p", 422)] * 9
    assert doubled_writes(refused, asked=asked, vm_of_pod=vms) == []


@pytest.mark.parametrize("shape", [FULL, QUICK], ids=["full", "quick"])
def test_every_drill_has_nics_on_both_paths_and_no_vm_more_than_its_guest_has_slots_for(shape: Shape) -> None:
    dealt = deal(shape, list(DRILLS), seed=7)
    assert dealt == deal(shape, list(DRILLS), seed=7)
    assert dealt != deal(shape, list(DRILLS), seed=8)
    every = [wish for wishes in dealt.values() for wish in wishes]
    assert len({(wish.vm, wish.nic) for wish in every}) == len(every) == shape.hotplugs
    for wishes in dealt.values():
        assert {shape.nodes_of(wish.vm) for wish in wishes} == {shape.nodes_in_place, shape.nodes_without}
        assert [wish.moment for wish in wishes] == sorted(wish.moment for wish in wishes)
    for vm in shape.vm_names():
        most = IN_PLACE if shape.nodes_of(vm) == shape.nodes_in_place else BY_MIGRATION
        assert sum(wish.vm == vm for wish in every) <= most


def test_more_hotplugs_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(ValueError, match="11 hot-plugs do not fit into 2 VMs: 10 do"):
        deal(Shape(vms=2, hotplugs=11), list(DRILLS), seed=1)


def outcome(*nics: Hotplug) -> Outcome:
    copies = {(one.vm, one.nic): 1 for one in nics}
    found = Outcome(seed=5, shape=QUICK, seconds=20.0, hotplugs=list(nics), titles={"d": "a drill"})
    found.accounts.append(account("d", nics, copies=copies, evidence="7 x 429", window=(2.0, 12.0)))
    return found


def told(found: Outcome) -> str:
    shown = io.StringIO()
    report.show(found, console=Console(file=shown, width=120))
    return shown.getvalue()


def test_the_report_has_a_row_for_each_drill_and_says_that_nothing_is_lost() -> None:
    found = outcome(hotplug("a", ready=2.0), hotplug("b", path="Migration"))
    assert found.holds
    text = told(found)
    assert "seed 5" in text
    assert "7 x 429" in text
    assert "Nothing is lost, nothing is doubled." in text
    row = next(line for line in text.splitlines() if line.startswith("total"))
    assert row.split() == ["total", "2", "2", "0", "0", "1", "1", "2.0", "s", "1.0", "s"]


def test_the_report_names_what_does_not_hold() -> None:
    found = outcome(hotplug("a", ready=None))
    assert not found.holds
    assert "d: NIC vm/a is lost" in told(found)
    assert report.to_json(found)["total"]["lost"] == ["vm/a"]
    found = outcome(hotplug("a"))
    found.violations.append("pods p: created 2 times")
    assert not found.holds
    assert "created 2 times" in told(found)
    assert json.loads(json.dumps(report.to_json(found)))["holds"] is False


def test_the_picture_has_axes_and_a_mark_for_each_drill() -> None:
    found = outcome(hotplug("a", ready=2.0), hotplug("b", path="Migration"))
    found.refusals = [(0.0, 0.0), (10.0, 7.0)]
    texts = [item.text or "" for item in ET.fromstring(report.picture(found)).iter("{http://www.w3.org/2000/svg}text")]
    assert "1: from 2 s, d: a drill" in texts
    assert {"NICs that wait", "by migration", "20 s", "2 s"} <= set(texts)
    assert any("2 NICs started, 2 finished, 0 lost, 0 doubled, longest stall 1.0 s" in text for text in texts)
