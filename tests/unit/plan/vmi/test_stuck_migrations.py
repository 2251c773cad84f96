"""A migration that waits for somebody: the NICs that wait for it say what to do, and cost no write more."""

from typing import Any

import pytest
from tests.build import (
    NAME,
    NOW,
    VMI_UID,
    Json,
    element,
    later,
    migration,
    nad,
    nic,
    owner,
    pod,
    primary,
    primary_row,
    row,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.plan.actions import PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi

NO_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
OWN: dict[str, Any] = {
    "name": "kubevirt-workload-update-0123456789",
    "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
    "ownerReferences": [owner("VirtualMachineInstance", NAME, VMI_UID)],
}
TOLD = 'NIC "red" is in the guest, and the target pod cannot have it: namespace default may not use it; given up at 5'


def plan(job: Json, *, status: Json | None = None) -> Plan:
    """For a VMI with NIC red that wants NIC blue, for which this migration is under way."""
    rows = [primary_row(), row("red", "domain", "multus-status")]
    raw = vmi(primary(), nic("red"), nic("blue"), rows=rows, conditions=[MIGRATABLE])
    raw["status"] |= status or {}
    asked = pod(networks=[element("red"), element("blue")], attached=["red"])
    nads = [nad("red-net"), nad("blue-net")]
    seen = vmi_view(
        raw,
        asked,
        nads=nads,
        migrations=[job],
        controller=NO_CONTROLLER,
        report_pending_since=later(-9),
        spec_seen_at=later(-9),
    )
    return plan_vmi(seen, now=NOW)


def waiting(reason: str, *, is_stuck: bool = True) -> Json:
    condition = {"type": "Progressing", "status": "False" if is_stuck else "True", "reason": reason, "message": TOLD}
    return migration("Pending", status={"conditions": [condition]}, **OWN)


def record_of(found: Plan) -> Json:
    return next(item for item in status_of(found)["interfaceOperations"] if item["name"] == "blue")


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("NetworkNotAllowed", "Ask the cluster admin to allow that network"),
        ("NetworkAttachmentDefinitionMissing", "Create the network attachment definition that the message names"),
        ("NetworkAttachmentDefinitionInvalid", "Correct the network attachment definition that the message names"),
        ("MultusNotInstalled", "Ask the cluster admin to install Multus"),
    ],
)
def test_a_nic_that_waits_for_a_migration_that_waits_for_somebody_had_no_remedy(reason: str, remedy: str) -> None:
    record = record_of(plan(waiting(reason)))
    assert (record["phase"], record["reason"]) == ("Migrating", "NoDynamicController")
    assert TOLD in record["message"]
    assert record["remedy"].startswith(remedy)


@pytest.mark.parametrize(
    ("reason", "is_stuck"),
    [("TargetPodUnschedulable", True), ("SeveralLauncherPods", True), ("NodeLost", True), ("NetworkNotAllowed", False)],
)
def test_a_migration_that_may_go_on_by_itself_asks_for_nobody(reason: str, is_stuck: bool) -> None:
    assert "remedy" not in record_of(plan(waiting(reason, is_stuck=is_stuck)))


def test_a_stuck_migration_causes_no_write_at_rest() -> None:
    job = waiting("NetworkNotAllowed")
    written = status_of(plan(job))
    again = plan(job, status=written)
    assert [item for item in again.actions if isinstance(item, PatchStatus)] == []
    assert not again.withholds_report


def test_the_remedy_leaves_the_record_with_the_message_that_it_belongs_to() -> None:
    written = status_of(plan(waiting("NetworkNotAllowed")))
    record = record_of(plan(waiting("CreatingTargetPod", is_stuck=False), status=written))
    assert "remedy" not in record
    assert record["lastTransitionTime"] == next(
        item["lastTransitionTime"] for item in written["interfaceOperations"] if item["name"] == "blue"
    )
