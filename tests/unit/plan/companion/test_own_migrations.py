"""When a companion creates a migration for NICs, and when it withdraws one."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.build import (
    NAME,
    NOW,
    VM_UID,
    VMI_UID,
    Json,
    Nic,
    a_migration,
    companion_view,
    element,
    interface_report,
    kubevirt,
    later,
    migration,
    migration_state,
    nad,
    nic,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    target_pod,
    vm,
    vmi,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Create, Delete, Kind, PatchStatus
from nicplug.plan.companion.plan_companion import CompanionDecision, decide_companion
from nicplug.plan.companion.view import SlotShare
from nicplug.plan.nic.path.blame import changes_of
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal

NO_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
BLUE, RED = nic("blue"), nic("red")
BY_PEOPLE = migration("Scheduling", name="by-hand", uid="by-hand")
BY_UPDATER = migration(
    "Pending",
    name="kubevirt-workload-update-abcde",
    uid="by-updater",
    annotations={"kubevirt.io/workloadUpdateMigration": ""},
)
OWNER = owner("VirtualMachineInstance", NAME, VMI_UID)
TIMES = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Failed", "Succeeded")


def kubevirt_with(*methods: str) -> Json:
    """A KubeVirt CR with these `workloadUpdateMethods`."""
    raw = kubevirt()
    raw["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": list(methods)}
    return raw


def decide(
    *nics: Nic,
    migrations: tuple[Json, ...] = (),
    records: tuple[Json, ...] = (),
    conditions: tuple[Json, ...] = (MIGRATABLE,),
    evacuated: bool = False,
    leaves: str = "node01",
    moving: Json | None = None,
    asked: tuple[Json, ...] | None = None,
    pods: tuple[Json, ...] = (),
    now: datetime = NOW,
    **members: Any,
) -> CompanionDecision:
    """Of a migratable VM with these NICs, none of which its guest has, on a node without a controller.

    Args:
        leaves: the node that an evacuation empties; the VM is on node01.
        asked: what virt-controller asks the pod for; all NICs unless said otherwise.
    """
    raw = vmi(
        primary(),
        *nics,
        rows=[primary_row()],
        conditions=conditions,
        owner_uid=VM_UID,
        moving=moving,
    )
    if evacuated:
        raw["status"]["evacuationNodeName"] = leaves
    facts: Json = {
        "controller": NO_CONTROLLER,
        "nads": [nad("blue-net"), nad("red-net")],
        "config": kubevirt_with("LiveMigrate"),
        "spec_seen_at": later(-60),
        "pending_since": later(-60),
        "report": interface_report(vmUid=VM_UID, vmiUid=VMI_UID, interfaceOperations=list(records)),
        "vm": vm(primary(), *nics),
        **members,
    }
    elements = [element(interface["name"]) for interface, _ in nics] if asked is None else list(asked)
    return decide_companion(companion_view(raw, pod(networks=elements), *pods, migrations=migrations, **facts), now=now)


def made(found: CompanionDecision) -> list[Json]:
    """The migrations that are created."""
    creates = (item for item in found.plan.actions if isinstance(item, Create) and item.kind is Kind.MIGRATION)
    return [thaw(item.body) for item in creates]


def withdrawn(found: CompanionDecision) -> list[str]:
    """The names of the migrations that are deleted."""
    return [item.key.name for item in found.plan.actions if isinstance(item, Delete) and item.kind is Kind.MIGRATION]


def row(found: CompanionDecision, name: str = "blue") -> Json:
    """The record of a NIC, as it is written."""
    patches = [item for item in found.plan.actions if isinstance(item, PatchStatus)]
    rows = [item for patch in patches for item in thaw(patch.wanted).get("interfaceOperations") or []]
    written: Json = json.loads(json.dumps(next(item for item in rows if item["name"] == name)))
    return written


def own(
    phase: str, *nics: Nic, number: int = 1, created: float = -60, ended: float = -40, left: bool = False, **meta: Any
) -> Json:
    """A migration of nicplug's for these NICs.

    Args:
        created: seconds from now.
        ended: when it entered its last phase.
        left: the node agents have had it.
    """
    (body,) = made(decide(*(nics or (BLUE,))))
    entered = {"Pending": created, **({"PreparingTarget": created} if left else {}), phase: ended}
    times = [{"phase": item, "phaseTransitionTimestamp": stamp(at)} for item, at in entered.items()]
    return migration(
        phase,
        name=f"nicplug-{number:010x}",
        uid=f"own-{number}",
        annotations=body["metadata"]["annotations"],
        ownerReferences=[owner("VirtualMachineInstance", NAME, VMI_UID)],
        creationTimestamp=stamp(created),
        status={"phaseTransitionTimestamps": times},
        **meta,
    )


def stamp(seconds: float) -> str:
    return later(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


REQUESTED = operation("blue", path="Migration", phase="Migrating", reason="NoDynamicController", since=later(-1000))


def failures(count: int) -> tuple[Json, ...]:
    """So many that have failed, the last one 30 s ago."""
    return tuple(
        own("Failed", number=number, created=-600 + 100 * number, ended=-30 - 100 * (count - number))
        for number in range(1, count + 1)
    )


def test_what_is_created() -> None:
    (body,) = made(decide(BLUE, RED))
    metadata = body["metadata"]
    assert metadata["name"].startswith("nicplug-")
    assert set(metadata["annotations"]) == {"nicplug.io/interfaces"}, "KubeVirt's updater deletes what has its mark"
    assert set(changes_of(a_migration({**body, "metadata": {**metadata, "uid": "x"}}))) == {"blue", "red"}
    assert [item["uid"] for item in metadata["ownerReferences"]] == [VMI_UID]
    assert body["spec"] == {"vmiName": NAME}, "only virt-controller may set a priority"


def test_it_is_told_once_on_the_vmi() -> None:
    found = decide(BLUE)
    (body,) = made(found)
    (event,) = [item for item in found.plan.announcements if item.reason == "SuccessfulCreate"]
    assert event.message == f"Created migration {body['metadata']['name']} for NICs blue"


def test_a_repeated_pass_creates_the_same() -> None:
    assert made(decide(BLUE)) == made(decide(BLUE))
    first, second = made(decide(BLUE))[0], made(decide(BLUE, migrations=(own("Succeeded"),)))[0]
    assert first["metadata"]["name"] != second["metadata"]["name"]


def required(status: str, *, since: float) -> tuple[Json, ...]:
    """`MigrationRequired`, as virt-controller reports it."""
    return MIGRATABLE, {"type": "MigrationRequired", "status": status, "lastTransitionTime": stamp(since)}


@pytest.mark.parametrize(
    ("conditions", "methods", "is_left"),
    [
        (required("False", since=-1), ["LiveMigrate"], False),
        (required("True", since=-1), ["LiveMigrate"], True),
        (required("True", since=-9), ["Evict", "LiveMigrate"], True),
        (required("True", since=-11), ["LiveMigrate"], False),
        (required("True", since=-1), ["Evict"], False),
    ],
    ids=["not yet", "its turn", "still its turn", "it has not", "it may not"],
)
def test_the_updater_goes_first_once_it_may(conditions: tuple[Json, ...], methods: list[str], *, is_left: bool) -> None:
    found = decide(BLUE, conditions=conditions, config=kubevirt_with(*methods), ignores_methods=True)
    assert (made(found) == []) is is_left
    if is_left:
        assert row(found)["reason"] == Reason.UPDATERS_TURN
        assert found.plan.again_at is not None
        assert found.plan.again_at <= later(9)


def test_nothing_is_created_for_a_virt_controller_that_does_not_act() -> None:
    """It has not asked the pod for the NIC; its migration would be served as late."""
    found = decide(BLUE, asked=())
    assert made(found) == []
    assert row(found)["reason"] == Reason.VIRT_CONTROLLER_SILENT
    assert len(made(decide(BLUE, asked=(), spec_seen_at=later(-4)))) == 1, "it may need a moment"


@pytest.mark.parametrize("state", [ControllerState.NOT_DEPLOYED, ControllerState.READY], ids=str)
def test_a_nic_of_the_template_alone_was_said_to_wait_for_the_launcher_pod_or_a_migration(
    state: ControllerState,
) -> None:
    """virt-controller has not copied it to the VMI yet."""
    found = decide(vm=vm(primary(), BLUE), controller=DynamicController(state=state))
    assert made(found) == []
    assert (row(found)["reason"], row(found)["message"]) == (
        Reason.WAITING_FOR_VIRT_CONTROLLER,
        "the VM's template has it, and KubeVirt's virt-controller has not copied it to the running instance yet",
    )


def test_nothing_wanted_nothing_created() -> None:
    assert made(decide()) == []


def test_a_spec_that_has_just_changed_waits_for_more_nics() -> None:
    found = decide(BLUE, spec_seen_at=NOW)
    assert made(found) == []
    assert found.plan.again_at is not None
    assert NOW < found.plan.again_at <= later(1)
    assert found.waits_for_slot_since is None


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"conditions": ({"type": "LiveMigratable", "status": "False"},)}, Reason.NOT_LIVE_MIGRATABLE),
        ({"report_only": "spec.migration of the HotplugPolicy"}, Reason.MIGRATION_FORBIDDEN),
        ({"config": kubevirt()}, Reason.WORKLOAD_UPDATE_FORBIDS),
    ],
    ids=["not migratable", "report only", "methods absent"],
)
def test_what_forbids_a_migration(members: Json, reason: Reason) -> None:
    found = decide(BLUE, **members)
    assert made(found) == []
    assert row(found)["reason"] == reason


@pytest.mark.parametrize("other", [BY_PEOPLE, BY_UPDATER], ids=["of people", "of the updater"])
@pytest.mark.parametrize("phase", ["", "Pending", "Scheduling", "Running"])
def test_anothers_migration_brings_the_nic(other: Json, phase: str) -> None:
    found = decide(BLUE, migrations=({**other, "status": {"phase": phase} if phase else {}},))
    assert (made(found), withdrawn(found)) == ([], [])
    assert found.waits_for_slot_since is None


@pytest.mark.parametrize("phase", ["Pending", "Scheduling", "Scheduled"])
def test_its_own_that_meets_anothers_is_withdrawn(phase: str) -> None:
    mine = own(phase)
    found = decide(BLUE, migrations=(mine, BY_PEOPLE))
    assert withdrawn(found) == [mine["metadata"]["name"]]


def test_its_own_is_not_withdrawn_twice_nor_after_the_hand_off() -> None:
    for mine in (
        own("Pending", deletionTimestamp=stamp(0)),
        own("PreparingTarget"),
        own("TargetReady"),
        own("Running"),
    ):
        assert withdrawn(decide(BLUE, migrations=(mine, BY_PEOPLE))) == []


def test_its_own_that_the_vmi_says_is_handed_off_is_left_alone() -> None:
    mine = own("Scheduled")
    moving = migration_state(migration_uid=mine["metadata"]["uid"])
    assert withdrawn(decide(BLUE, migrations=(mine, BY_PEOPLE), moving=moving)) == []


@pytest.mark.parametrize("phase", ["Pending", "Scheduling", "Running"])
def test_its_own_goes_on_while_it_is_wanted(phase: str) -> None:
    found = decide(BLUE, migrations=(own(phase),))
    assert (made(found), withdrawn(found)) == ([], [])


def test_its_own_is_withdrawn_when_no_nic_wants_it() -> None:
    mine = own("Pending")
    assert withdrawn(decide(migrations=(mine,))) == [mine["metadata"]["name"]]


@pytest.mark.parametrize(
    "other",
    [
        BY_PEOPLE,
        BY_UPDATER,
        migration("Pending", name="nicplug-0123456789", uid="lookalike"),
        migration("Pending", name="nicplug-0123456789", uid="lookalike", annotations={"nicplug.io/interfaces": "{}"}),
        {**BY_UPDATER, "metadata": {**BY_UPDATER["metadata"], "ownerReferences": [OWNER]}},
    ],
    ids=[
        "people's",
        "the updater's",
        "one of that name",
        "one of that name and mark, of another VMI",
        "the updater's, owned by the VMI",
    ],
)
@pytest.mark.parametrize("evacuated", [False, True])
@pytest.mark.parametrize("nics", [(), (BLUE,)], ids=["nothing wanted", "wanted"])
def test_nobody_elses_is_ever_withdrawn(other: Json, evacuated: bool, nics: tuple[Nic, ...]) -> None:
    found = decide(*nics, migrations=(other,), evacuated=evacuated)
    assert (made(found), withdrawn(found)) == ([], [])


def test_none_is_created_while_the_vm_is_to_leave_its_node() -> None:
    found = decide(BLUE, evacuated=True)
    assert made(found) == []
    assert row(found)["reason"] == Reason.EVACUATION_FIRST
    assert "the evacuation of node node01 comes first, and brings the NIC as well" in row(found)["message"]
    assert found.waits_for_slot_since is None


def test_the_evacuation_of_a_node_that_the_vm_has_left_is_over() -> None:
    """KubeVirt evacuates a VM only from the node that it is on."""
    assert len(made(decide(BLUE, evacuated=True, leaves="node02"))) == 1
    assert withdrawn(decide(BLUE, migrations=(own("Pending", ended=-1),), evacuated=True, leaves="node02")) == []


@pytest.mark.parametrize(
    ("phase", "is_withdrawn"), [("", True), ("Pending", True), ("Scheduling", False), ("Running", False)]
)
def test_one_that_waits_gives_way_to_an_evacuation(phase: str, is_withdrawn: bool) -> None:
    mine = own(phase or "Pending")
    if not phase:
        mine["status"] = {}
    found = decide(BLUE, migrations=(mine,), evacuated=True)
    assert withdrawn(found) == ([mine["metadata"]["name"]] if is_withdrawn else [])
    assert made(found) == []


def test_none_is_created_while_a_migration_that_is_gone_moves_the_vm() -> None:
    moving = migration_state(migration_uid="gone", startTimestamp=stamp(-5))
    assert made(decide(BLUE, moving=moving, pods=(target_pod(migration_uid="gone"),))) == []


@pytest.mark.parametrize(("count", "seconds"), [(1, 20), (2, 40), (3, 80), (4, 160)], ids="after {} failures".format)
def test_it_backs_off(count: int, seconds: float) -> None:
    """KubeVirt's own back-off does not cover migrations without its mark."""
    known = failures(count)
    due = later(-30) + timedelta(seconds=seconds)
    waits = decide(BLUE, migrations=known, now=NOW)
    if due > NOW:
        assert made(waits) == []
        found = row(waits)
        assert (found["path"], found["reason"]) == ("Migration", Reason.MIGRATION_BACKOFF)
        assert found["message"].endswith(f"the next migration waits, after {count} failures")
        assert datetime.fromisoformat(found["nextAttemptTime"]) == due.replace(microsecond=0)
        assert waits.plan.again_at is not None
        assert waits.plan.again_at <= due
    assert len(made(decide(BLUE, migrations=known, now=due + timedelta(seconds=1)))) == 1


def test_after_five_failures_it_gives_up() -> None:
    found = decide(BLUE, records=(REQUESTED,), migrations=failures(5), now=later(3600))
    assert made(found) == []
    assert (row(found)["phase"], row(found)["reason"]) == ("Failed", Reason.MIGRATION_FAILED)
    assert len(row(found)["migrationFailures"]["migrations"]) == 5


def test_failures_are_counted_when_kubevirt_has_deleted_the_migrations() -> None:
    """It keeps five of each VMI."""
    record = row(decide(BLUE, records=(REQUESTED,), migrations=failures(3)))
    found = decide(BLUE, records=(record,), now=later(3600))
    assert len(row(found)["migrationFailures"]["migrations"]) == 3
    more = tuple(own("Failed", number=number) for number in (4, 5))
    assert made(decide(BLUE, records=(record,), migrations=more, now=later(3600))) == []


def test_a_corrected_nic_is_tried_at_once() -> None:
    found = decide(nic("blue", attachment="red-net"), migrations=failures(5))
    assert len(made(found)) == 1


def test_anothers_failures_are_not_its_own() -> None:
    known = tuple(
        {**BY_UPDATER, "metadata": {**BY_UPDATER["metadata"], "uid": f"u{number}"}, "status": {"phase": "Failed"}}
        for number in range(5)
    )
    assert len(made(decide(BLUE, migrations=known))) == 1


def test_many_moves_are_spaced() -> None:
    known = tuple(
        own("Succeeded", number=number, created=-100 + 10 * number, ended=-95 + 10 * number, left=True)
        for number in range(1, 6)
    )
    found = decide(BLUE, migrations=known)
    assert made(found) == []
    assert row(found)["reason"] == Reason.MIGRATION_RATE_LIMITED
    assert "the next migration waits, as 5 have moved the VM within ten minutes" in row(found)["message"]
    assert len(made(decide(BLUE, migrations=known, now=later(120)))) == 1


FULL = SlotShare(is_free=False, blocked_by="the limit is 5")


def test_it_waits_for_a_slot() -> None:
    found = decide(BLUE, slot=FULL)
    assert made(found) == []
    assert row(found)["reason"] == Reason.WAITING_FOR_SLOT
    assert row(found)["message"].endswith("it waits for a migration slot: the limit is 5")
    assert found.waits_for_slot_since == later(-60), "since the NIC was asked for"


def test_its_place_in_the_queue_is_that_of_its_oldest_nic() -> None:
    records = (
        operation("blue", path="Migration", since=later(-300)),
        operation("red", path="Migration", since=later(-400)),
    )
    assert decide(BLUE, RED, records=records, slot=FULL).waits_for_slot_since == later(-400)


def test_what_needs_no_migration_waits_for_no_slot() -> None:
    assert decide(slot=FULL).waits_for_slot_since is None
    assert decide(BLUE, slot=FULL, migrations=(BY_PEOPLE,)).waits_for_slot_since is None
    assert decide(BLUE, slot=FULL, migrations=failures(3)).waits_for_slot_since is None


def test_a_refused_creation_is_reported_and_not_repeated() -> None:
    refusal = Refusal(reason=Reason.FAILED_CREATE, message="admission webhook denied the request: no")
    found = decide(BLUE, refusal=refusal)
    assert made(found) == []
    assert "admission webhook denied the request: no" in str(row(found))


def test_a_refusal_does_not_keep_it_from_giving_way() -> None:
    """Whatever was refused: a migration that waits blocks the evacuation."""
    mine = own("Pending")
    refusal = Refusal(reason=Reason.HOTPLUG_ERROR, message="no")
    found = decide(BLUE, migrations=(mine,), evacuated=True, refusal=refusal)
    assert withdrawn(found) == [mine["metadata"]["name"]]
