"""KubeVirt's workload updater repeats a migration that fails: how often, since when, and that it is reported once."""

import json

import pytest
from tests.build import (
    NOW,
    VM_UID,
    VMI_UID,
    Json,
    companion_view,
    element,
    interface_report,
    kubevirt,
    later,
    migration,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vmi,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import PatchStatus
from nicplug.plan.companion.plan_companion import decide_companion
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason

NO_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
BLUE, RED = nic("blue"), nic("red")
WAITS = operation("blue", path="Migration", phase="Blocked", reason="WorkloadUpdateForbids", since=later(-100))
IN_VAIN = "MigrationsInVain"


def stamp(seconds: float) -> str:
    return later(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def updaters(number: int, *, phase: str = "Failed", created: float = -90, took: float = 5) -> Json:
    """A migration of the workload updater's."""
    times = [{"phase": phase, "phaseTransitionTimestamp": stamp(created + took)}]
    return migration(
        phase,
        name=f"kubevirt-workload-update-{number}",
        uid=f"updaters-{number}",
        annotations={"kubevirt.io/workloadUpdateMigration": ""},
        creationTimestamp=stamp(created),
        status={"phaseTransitionTimestamps": times},
    )


def decide(
    *migrations: Json,
    records: tuple[Json, ...] = (WAITS,),
    vmi_uid: str = VMI_UID,
    is_in: bool = False,
    **known: object,
) -> Plan:
    """Of a VM whose NIC blue waits for a migration that nicplug may not create; its NIC red came long ago.

    Args:
        vmi_uid: of the VMI that the report was about.
        is_in: the guest has it now.
        known: more members of the report's status.
    """
    names = ("red", "blue") if is_in else ("red",)
    rows = [primary_row(), *(row(name, "domain", "multus-status") for name in names)]
    raw = vmi(
        primary(), RED, BLUE, rows=rows, owner_uid=VM_UID, conditions=[{"type": "LiveMigratable", "status": "True"}]
    )
    status: Json = {"vmUid": VM_UID, "vmiUid": vmi_uid, "interfaceOperations": list(records), **known}
    view = companion_view(
        raw,
        pod(networks=[element("red"), element("blue")], attached=names),
        vm=vm(primary(), RED, BLUE),
        report=interface_report(**status),
        migrations=migrations,
        controller=NO_CONTROLLER,
        nads=[nad("blue-net"), nad("red-net")],
        config=kubevirt(),
        spec_seen_at=later(-100),
        pending_since=later(-60),
    )
    return decide_companion(view, now=NOW).plan


def status_of(plan: Plan) -> Json:
    """The members that are written."""
    patches = [item for item in plan.actions if isinstance(item, PatchStatus)]
    found: Json = json.loads(json.dumps({name: item for patch in patches for name, item in thaw(patch.wanted).items()}))
    return found


def counted(plan: Plan) -> Json:
    """The updater's migrations, as they are written."""
    return status_of(plan).get("updaterMigrations") or {}


def told(plan: Plan) -> str:
    """The message of the condition; "" without it."""
    rows = status_of(plan).get("conditions") or ()
    return next((str(item["message"]) for item in rows if item["type"] == IN_VAIN), "")


def test_its_failures_are_counted_with_their_cost() -> None:
    found = counted(decide(updaters(1, created=-90, took=5), updaters(2, created=-60, took=7)))
    assert (found["failed"], found["durationSeconds"]) == (2, 12)
    assert found["uids"] == ["updaters-1", "updaters-2"]
    assert found["since"].startswith(stamp(-90)[:19])


@pytest.mark.parametrize(("count", "is_told"), [(0, False), (1, False), (2, True), (5, True)])
def test_it_is_told_from_the_second_on(count: int, *, is_told: bool) -> None:
    plan = decide(*(updaters(number) for number in range(count)))
    assert bool(told(plan)) is is_told
    assert (Reason.UPDATER_REPEATS in {item.reason for item in plan.announcements}) is is_told
    if is_told:
        assert f"has created {count} migrations" in told(plan)
        assert "kubevirt.io/testWorkloadUpdateMigrationAbortion" in told(plan)


def test_the_event_is_told_once() -> None:
    first = decide(updaters(1), updaters(2))
    after = status_of(first)
    again = decide(
        updaters(1),
        updaters(2),
        updaters(3),
        records=tuple(after["interfaceOperations"]),
        updaterMigrations=after["updaterMigrations"],
        conditions=after["conditions"],
    )
    assert "has created 3 migrations" in told(again)
    assert Reason.UPDATER_REPEATS not in {item.reason for item in again.announcements}


def test_those_that_kubevirt_has_deleted_go_on_counting() -> None:
    known = {"failed": 4, "durationSeconds": 20, "since": stamp(-95), "uids": ["updaters-1", "updaters-2"]}
    found = counted(decide(updaters(2), updaters(3), updaterMigrations=known))
    assert (found["failed"], found["durationSeconds"], found["uids"][-1]) == (5, 25, "updaters-3")


@pytest.mark.parametrize(
    "other",
    [
        updaters(1, phase="Succeeded"),
        updaters(1, phase="Running"),
        updaters(1, created=-500),
        migration("Failed", name="by-hand", uid="by-hand", creationTimestamp=stamp(-90)),
    ],
    ids=["succeeded", "goes on", "before the NIC was asked for", "somebody's"],
)
def test_what_does_not_count(other: Json) -> None:
    assert counted(decide(other)) == {}


def test_old_failures_do_not_count_for_a_new_nic() -> None:
    """The record of a NIC that came long ago is still there."""
    came = operation("red", path="Migration", phase="Ready", reason="Attached", since=later(-5000))
    old = (updaters(1, created=-3000), updaters(2, created=-2000))
    assert counted(decide(*old, records=(came, WAITS))) == {}


def test_the_count_ends_when_all_nics_are_there() -> None:
    known = {"failed": 4, "durationSeconds": 20, "since": stamp(-95), "uids": ["updaters-1"]}
    plan = decide(updaters(1), is_in=True, updaterMigrations=known)
    assert status_of(plan)["updaterMigrations"] is None
    assert told(plan) == ""


def test_the_count_of_an_earlier_vmi_is_not_that_of_this_one() -> None:
    known = {"failed": 4, "durationSeconds": 20, "since": stamp(-95), "uids": ["of-the-other"]}
    plan = decide(vmi_uid="another", updaterMigrations=known)
    assert status_of(plan)["updaterMigrations"] is None
    assert told(plan) == ""


@pytest.mark.parametrize("lies", [7, [], {"failed": "x", "durationSeconds": True, "since": 3, "uids": "u"}], ids=str)
def test_whatever_somebody_writes_is_read(lies: object) -> None:
    assert counted(decide(updaters(1), updaterMigrations=lies))["failed"] == 1


@pytest.mark.parametrize(
    ("forged", "failed"),
    [
        ({"failed": -7, "durationSeconds": -7}, 1),
        ({"failed": 2**70, "durationSeconds": 2**70}, 2**31 - 1),
        ({"failed": True, "durationSeconds": "x"}, 1),
    ],
    ids=["negative", "huge", "of other types"],
)
def test_an_edited_count_is_bounded(forged: Json, failed: int) -> None:
    found = counted(decide(updaters(1), updaterMigrations=forged))
    assert found["failed"] == failed
    assert 0 <= found["durationSeconds"] < 2**31
