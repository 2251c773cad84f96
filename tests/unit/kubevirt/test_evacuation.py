"""Evacuation (sections 1.3, 1.5, 5.5; drain/evacuation and the pod eviction admitter of KubeVirt)."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, condition, migration, pod, target, vmi

from nicplug_sandbox.kubevirt.admission import guest_of, judged_eviction
from nicplug_sandbox.kubevirt.evacuation import View, sync
from nicplug_sandbox.kubevirt.objects import condition_of
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.vmi import View as VmiView
from nicplug_sandbox.kubevirt.vmi import status
from nicplug_sandbox.kubevirt.writes import Decision

MARKED = {"evacuationNodeName": "node01"}
MOVING = {"startTimestamp": "2026-06-01T11:59:50Z"}
NOT_LIVE = condition("LiveMigratable", "False")
SETTINGS = ClusterSettings(eviction_strategy="LiveMigrate")
TAINT = {"key": "kubevirt.io/drain", "effect": "NoSchedule"}


def node(*taints: Any) -> Any:
    return {"metadata": {"name": "node01"}, "spec": {"taints": list(taints)}}


def leave(
    *vmis: Any,
    migrations: tuple[Any, ...] = (),
    pods: tuple[Any, ...] = (),
    settings: ClusterSettings = SETTINGS,
    taints: tuple[Any, ...] = (),
) -> Decision:
    view = View(
        node=node(*taints), vmis=list(vmis), migrations=list(migrations), pods=[pod(), *pods], settings=settings
    )
    return sync(view, now=NOW)


def guest(name: str = "fedora", strategy: str = "", live: Any = LIVE, **more: Any) -> Any:
    more = {"status": MARKED, "conditions": (live,), **more}
    found = vmi(name=name, **more)
    if strategy:
        found["spec"]["evictionStrategy"] = strategy
    return found


def test_a_marked_vmi_is_migrated_with_the_node_and_the_highest_priority() -> None:
    (made,) = leave(guest()).writes
    assert isinstance(made.body, dict)
    assert made.body["metadata"]["generateName"] == "kubevirt-evacuation-"
    assert made.body["metadata"]["annotations"] == {"kubevirt.io/evacuationMigration": "node01"}
    assert made.body["spec"] == {"vmiName": "fedora", "priority": "system-critical"}
    assert made.said is not None
    assert made.failed is not None
    assert made.said.told(name="m").message == "Created Migration m"
    assert made.failed.told(error="no").message == "Error creating a Migration: no"


@pytest.mark.parametrize(
    "machine",
    [
        guest(status={}),
        guest(status={"evacuationNodeName": "node02"}),
        guest(status={**MARKED, "migrationState": MOVING}),
        guest(node="node02", status={"evacuationNodeName": "node02"}),
        guest(strategy="None"),
        guest(strategy="External"),
        guest(strategy="LiveMigrateIfPossible", live=NOT_LIVE),
        guest(phase="Succeeded"),
        guest(deletionTimestamp="2026-06-01T11:59:50Z"),
    ],
)
def test_no_other_is(machine: Any) -> None:
    assert leave(machine) == Decision()


@pytest.mark.parametrize("phase", ["", "Pending", "Running"])
def test_an_unfinished_migration_of_anybodys_keeps_it_back_and_is_not_aborted(phase: str) -> None:
    """Also one that only waits: only its creator withdraws it."""
    for whose in (migration(phase=phase), migration(phase=phase, marked=True)):
        assert leave(guest(), migrations=(whose,)).writes == ()
    assert leave(guest(), migrations=(migration(phase="Failed"),)).writes


def test_a_second_pod_keeps_it_back() -> None:
    assert leave(guest(), pods=(target(),)).writes == ()


def test_when_the_mark_goes_what_was_made_for_it_stays() -> None:
    """`evacuate-cancel` takes the mark back and nothing else."""
    assert leave(guest(status={}), migrations=(migration(phase="Pending"),)) == Decision()


def test_the_drain_taint_empties_a_node_without_marks() -> None:
    assert leave(guest(status={}), taints=(TAINT,)).writes
    for other in ({**TAINT, "key": "other"}, {**TAINT, "effect": "NoExecute"}):
        assert leave(guest(status={}), taints=(other,)).writes == ()


@pytest.mark.parametrize(("here", "elsewhere", "made"), [(0, 0, 2), (1, 0, 1), (2, 0, 0), (0, 4, 1), (0, 5, 0)])
def test_no_more_than_there_is_room_for(here: int, elsewhere: int, made: int) -> None:
    machines = [guest(f"vm{number}") for number in range(6)]
    running = [migration(f"h{number}", phase="Running", vmi=f"vm{number}") for number in range(here)]
    running += [migration(f"e{number}", phase="Running", vmi=f"far{number}") for number in range(elsewhere)]
    found = leave(*machines, migrations=tuple(running))
    assert (len(found.writes), found.again) == (made, 5.0 if not made else None)


def test_one_that_cannot_migrate_is_told_and_told_again() -> None:
    found = leave(guest(live=NOT_LIVE))
    assert found.writes == ()
    assert found.again == 60.0
    (told,) = found.events
    assert (told.reason, told.message) == ("FailedCreate", "VirtualMachineInstance is not migrateable")


def test_1_3_4_the_vmi_says_that_it_is_marked() -> None:
    (written,) = status(VmiView(vmi=guest(), pods=[pod()]), now=NOW).writes
    assert isinstance(written.body, list)
    conditions = next(item["value"] for item in written.body[1:] if item["path"] == "/status/conditions")
    found = condition_of({"status": {"conditions": conditions}}, "EvictionRequested")
    assert found is not None
    assert (found["status"], found["reason"], found["message"]) == (
        "True", "EvictionRequested", "VMI is marked for eviction",
    )  # fmt: skip
    gone = guest(status={}, conditions=(LIVE, found))
    (written,) = status(VmiView(vmi=gone, pods=[pod()]), now=NOW).writes
    assert isinstance(written.body, list)
    conditions = next(item["value"] for item in written.body[1:] if item["path"] == "/status/conditions")
    assert condition_of({"status": {"conditions": conditions}}, "EvictionRequested") is None


TRIGGERED = 'Eviction triggered evacuation of VMI "default/fedora"'
STUCK = "VMI fedora is configured with an eviction strategy but is not live-migratable"


@pytest.mark.parametrize(
    ("machine", "text", "mark"),
    [
        (guest(status={}), "", ""),
        (guest(strategy="None", status={}), "", ""),
        (guest(strategy="LiveMigrate", status={}), TRIGGERED, "node01"),
        (guest(strategy="LiveMigrate", live=NOT_LIVE, status={}), STUCK, ""),
        (guest(strategy="LiveMigrateIfPossible", status={}), TRIGGERED, "node01"),
        (guest(strategy="LiveMigrateIfPossible", live=NOT_LIVE, status={}), "", ""),
        (guest(strategy="External", live=NOT_LIVE, status={}), TRIGGERED, "node01"),
        (guest(strategy="LiveMigrate"), f"Evacuation in progress: {TRIGGERED}", ""),
        (guest(strategy="LiveMigrate", node="node02", status={}), "Eviction request for target Pod", ""),
    ],
)
def test_an_eviction_is_granted_or_becomes_an_evacuation(machine: Any, text: str, mark: str) -> None:
    judged = judged_eviction(pod(), machine, settings=ClusterSettings())
    assert (judged.refusal.message if judged.refusal else "", judged.node) == (text, mark)
    assert judged.refusal is None or judged.refusal.code == 429


def test_the_strategy_of_the_cluster_holds_for_vmis_without_one() -> None:
    assert judged_eviction(pod(), guest(status={}), settings=SETTINGS).node == "node01"
    assert judged_eviction(pod(), guest(strategy="None", status={}), settings=SETTINGS).refusal is None


def test_only_living_launchers_are_judged() -> None:
    domain = {"kubevirt.io/domain": "fedora"}
    assert guest_of(pod(annotations=domain)) == "fedora"
    assert guest_of(pod(annotations=domain, phase="Succeeded")) == ""
    assert guest_of(pod(annotations=domain, labels={"kubevirt.io": "virt-handler"})) == ""
    assert guest_of(pod()) == ""
