"""After the hand-off no guest is given a NIC that the pod lacks to which it moves."""

import pytest
from tests.build import (
    CONTROLLER,
    NOW,
    Json,
    element,
    later,
    migration,
    migration_state,
    nad,
    nic,
    pod,
    primary,
    primary_row,
    row,
    target_pod,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi

HAS = pod(networks=[element("blue")], attached=["blue"])
WITH = target_pod(networks=[element("blue")])
ON_OTHER = target_pod(networks=[element("blue", attachment="other")])
OLD, NEW = "02:00:00:00:00:01", "02:00:00:00:00:02"


def plan(*pods: Json, state: Json | None, phase: str = "Scheduled", rows: tuple[Json, ...] = (), mac: str = "") -> Plan:
    """The source pod has just got the interface of blue, which the guest has not."""
    raw = vmi(primary(), nic("blue", mac=mac), rows=[primary_row(), *rows], moving=state)
    view = vmi_view(
        raw,
        *pods,
        migrations=(migration(phase),),
        controller=CONTROLLER,
        nads=[nad("blue-net")],
        spec_seen_at=later(-60),
        report_pending_since=later(-60),
    )
    return plan_vmi(view, now=NOW)


def rows_of(found: Plan) -> dict[str, str]:
    """infoSource by NIC, as written."""
    return {item["name"]: item.get("infoSource", "") for item in status_of(found).get("interfaces", [])}


@pytest.mark.parametrize(
    ("target", "state", "is_given"),
    [
        (target_pod(), None, True),
        (target_pod(), migration_state(), False),
        (WITH, migration_state(), True),
        (ON_OTHER, migration_state(), False),
        (target_pod(), migration_state(failed=True, completed=True), True),
    ],
    ids=["not handed off", "handed off without it", "handed off with it", "handed off on another network", "failed"],
)
def test_a_nic_whose_interface_comes_when_the_vm_is_handed_over(
    target: Json, state: Json | None, is_given: bool
) -> None:
    assert ("blue" in rows_of(plan(HAS, target, state=state))) == is_given


@pytest.mark.parametrize(("made_with", "is_given"), [(NEW, True), (OLD, False), ("", False)])
def test_a_nic_was_given_to_a_guest_that_moves_to_a_pod_with_its_former_mac_address(
    made_with: str, is_given: bool
) -> None:
    """No other target pod could be made, so the guest was handed over to the one there was."""
    source = pod(networks=[element("blue", mac=NEW)], attached=["blue"])
    target = target_pod(networks=[element("blue", mac=made_with)])
    assert ("blue" in rows_of(plan(source, target, state=migration_state(), mac=NEW))) == is_given


def test_what_was_given_before_the_hand_off_is_not_taken_back() -> None:
    found = plan(HAS, target_pod(), state=migration_state(), rows=(row("blue", "multus-status"),))
    assert "blue" not in rows_of(found) or rows_of(found)["blue"] == "multus-status"


@pytest.mark.parametrize("state", [None, migration_state(migration_uid="last", failed=True, completed=True)])
def test_a_go_ahead_that_crosses_a_hand_off_fails(state: Json | None) -> None:
    """The target pod was compared with the guest's NICs without this one."""
    found = plan(HAS, target_pod(), state=state)
    (patch,) = [item for item in found.actions if isinstance(item, PatchStatus)]
    tests = [dict(item) for item in patch.json_patch()]
    assert {"op": "test", "path": "/status/migrationState", "value": state} in tests
    assert not [item for item in tests if item["op"] != "test" and item["path"] == "/status/migrationState"]
    assert thaw(patch.seen)["interfaces"]
