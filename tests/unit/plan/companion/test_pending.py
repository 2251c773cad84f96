"""nicplug's migrations that virt-controller accepts and does not begin."""

from datetime import timedelta
from typing import Any

import pytest
from tests.build import (
    NAME,
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
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal

BLUE = nic("blue")
NO_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
REQUESTED = operation("blue", path="Migration", phase="Migrating", reason="NoDynamicController", since=later(-1000))


def stamp(seconds: float) -> str:
    return later(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def own(phase: str = "Pending", *, since: float = -300, accepted: float | None = None, **meta: Any) -> Json:
    """nicplug's migration for the NIC.

    Args:
        since: when it was created, in seconds from now.
        accepted: when virt-controller did so; at once unless said otherwise.
    """
    at = since if accepted is None else accepted
    status = {"phaseTransitionTimestamps": [{"phase": "Pending", "phaseTransitionTimestamp": stamp(at)}]}
    return migration(
        phase,
        name="nicplug-0123456789",
        uid="own",
        annotations={"nicplug.io/interfaces": "{}"},
        ownerReferences=[owner("VirtualMachineInstance", NAME, VMI_UID)],
        creationTimestamp=stamp(since),
        status=status if phase else None,
        **meta,
    )


def decide(
    *migrations: Json,
    pods: tuple[Json, ...] = (),
    evacuated: bool = False,
    refusal: Refusal | None = None,
    **known: Any,
) -> CompanionDecision:
    """Of a VM whose NIC needs a migration; `known`: more of its report's status."""
    raw = vmi(primary(), BLUE, rows=[primary_row()], conditions=(MIGRATABLE,), owner_uid=VM_UID)
    if evacuated:
        raw["status"]["evacuationNodeName"] = "node01"
    config = kubevirt()
    config["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": ["LiveMigrate"]}
    status: Json = {"vmUid": VM_UID, "vmiUid": VMI_UID, "interfaceOperations": [REQUESTED], **known}
    view = companion_view(
        raw,
        pod(networks=[element("blue")]),
        *pods,
        migrations=migrations,
        controller=NO_CONTROLLER,
        nads=[nad("blue-net")],
        config=config,
        spec_seen_at=later(-1000),
        pending_since=later(-60),
        vm=vm(primary(), BLUE),
        report=interface_report(**status),
        refusal=refusal,
    )
    return decide_companion(view, now=NOW)


def kinds(found: CompanionDecision) -> list[tuple[type, Kind]]:
    """What is done, in order."""
    return [(type(item), item.kind) for item in found.plan.actions]


def written(found: CompanionDecision, member: str) -> Any:
    """A member of the status that is written."""
    (patch,) = [item for item in found.plan.actions if isinstance(item, PatchStatus)]
    return thaw(patch.wanted).get(member)


def withdrawals(count: int, *, ago: float, uid: str = "before") -> Json:
    """So many withdrawn before, the last one so many seconds ago."""
    return {"count": count, "lastTime": stamp(-ago), "migrationUid": uid}


def test_one_that_does_not_begin_is_withdrawn_and_counted_first() -> None:
    found = decide(own(since=-180))
    assert kinds(found) == [(PatchStatus, Kind.REPORT), (Delete, Kind.MIGRATION)]
    (deletion,) = [item for item in found.plan.actions if isinstance(item, Delete)]
    assert (deletion.key.name, deletion.uid) == ("nicplug-0123456789", "own")
    assert written(found, "withdrawnMigrations") == {"count": 1, "lastTime": stamp(0), "migrationUid": "own"}
    (record,) = written(found, "interfaceOperations")
    assert record["reason"] == Reason.MIGRATION_LEFT_PENDING
    assert record["message"].endswith(
        "virt-controller left the last migration Pending for 3 minutes, and the next one waits"
    )
    assert record["nextAttemptTime"].startswith(stamp(20)[:-1])


def test_until_then_it_may_begin() -> None:
    found = decide(own(since=-100))
    assert (Delete, Kind.MIGRATION) not in kinds(found)
    assert found.plan.again_at is not None
    assert found.plan.again_at <= later(80)


# virt-controller gives it every NIC of the spec.
_TARGET = target_pod(migration_uid="own", networks=[element("blue")])


@pytest.mark.parametrize(
    ("job", "pods"),
    [
        pytest.param(own(""), (), id="not accepted: virt-controller does nothing, and would delete nothing either"),
        pytest.param(own(accepted=-60), (), id="accepted late"),
        pytest.param(own("Scheduling"), (), id="it has begun"),
        pytest.param(own(deletionTimestamp=stamp(-1)), (), id="withdrawn"),
        pytest.param(own(), (_TARGET,), id="it has a target pod, with KubeVirt's timeouts"),
    ],
)
def test_what_is_not_withdrawn(job: Json, pods: tuple[Json, ...]) -> None:
    assert (Delete, Kind.MIGRATION) not in kinds(decide(job, pods=pods))


def test_one_that_virt_controller_has_not_accepted_is_reported_as_its_silence() -> None:
    (record,) = written(decide(own(""), interfaceOperations=[{**REQUESTED, "message": "old"}]), "interfaceOperations")
    assert record["reason"] == Reason.VIRT_CONTROLLER_SILENT


@pytest.mark.parametrize(("count", "seconds"), [(1, 20), (2, 40), (3, 80), (9, 320)])
def test_the_next_one_backs_off(count: int, seconds: int) -> None:
    waits = decide(withdrawnMigrations=withdrawals(count, ago=seconds - 1))
    assert (Create, Kind.MIGRATION) not in kinds(waits)
    assert waits.plan.again_at is not None
    assert waits.plan.again_at - NOW <= timedelta(seconds=1)
    assert (Create, Kind.MIGRATION) in kinds(decide(withdrawnMigrations=withdrawals(count, ago=seconds)))


def test_a_withdrawal_that_failed_is_repeated_and_counted_once() -> None:
    found = decide(own(), withdrawnMigrations=withdrawals(1, ago=2, uid="own"))
    assert (Delete, Kind.MIGRATION) in kinds(found)
    assert written(found, "withdrawnMigrations") is None, "unchanged"


def test_the_reason_stays_until_virt_controller_has_cancelled_it() -> None:
    going = own(deletionTimestamp=stamp(-1))
    (record,) = written(decide(going, withdrawnMigrations=withdrawals(1, ago=1, uid="own")), "interfaceOperations")
    assert record["reason"] == Reason.MIGRATION_LEFT_PENDING


def test_one_that_begins_ends_the_count() -> None:
    found = decide(own("Scheduling"), withdrawnMigrations=withdrawals(3, ago=100))
    (patch,) = [item for item in found.plan.actions if isinstance(item, PatchStatus)]
    assert thaw(patch.wanted)["withdrawnMigrations"] is None


@pytest.mark.parametrize(
    "forged",
    [
        withdrawals(-3, ago=1),
        withdrawals(1, ago=-86400),
        {"count": 2**63, "lastTime": stamp(-86400)},
        {"count": "x", "lastTime": 7, "migrationUid": []},
    ],
    ids=["negative", "of tomorrow", "huge", "of other types"],
)
def test_what_somebody_wrote_there_holds_nothing_up(forged: Json) -> None:
    assert (Create, Kind.MIGRATION) in kinds(decide(withdrawnMigrations=forged))


def test_before_an_evacuation_it_is_withdrawn_whether_or_not_the_report_can_be_written() -> None:
    """The report came first; while it was refused, the migration stayed and blocked the evacuation."""
    found = decide(own(since=-180), evacuated=True)
    assert kinds(found)[0] == (Delete, Kind.MIGRATION)
    refused = decide(own(since=-180), evacuated=True, refusal=Refusal(reason=Reason.HOTPLUG_ERROR, message="no"))
    assert kinds(refused)[0] == (Delete, Kind.MIGRATION)
