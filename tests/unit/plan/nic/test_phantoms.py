"""A NIC that network-status lists and that the pod has not got: suspected, taken out, asked for anew."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    NOW,
    POD_NAME,
    Json,
    element,
    failed,
    later,
    migration,
    migration_state,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vmi,
    vmi_view,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import DynamicPath, HotplugPolicy, MigrationPolicy
from nicplug.plan.actions import Create, Kind, PatchNetworksAnnotation, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.vmi.plan_vmi import plan_vmi

NOT_DEPLOYED = DynamicController(state=ControllerState.NOT_DEPLOYED)
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
LISTED = row("blue", "multus-status")


def record(name: str, *, asked: float, since: float, **members: Any) -> Json:
    """A NIC that was asked for so many seconds ago, and last asked of the pod."""
    return operation(name, since=later(-since), lastAttemptTime=later(-asked), observedGeneration=1, **members)


def suspect(asked: float, *, phase: str = "InPod", **members: Any) -> Json:
    """NIC blue, marked."""
    return record("blue", asked=asked, since=asked, phase=phase, suspect=True, **members)


IN_VAIN = suspect(
    60, phase="Migrating", path="Migration", migration="migration-job", attempts=4, waitingSince=later(-50)
)
HERE: Json = {"targetPod": POD_NAME, "completed": True}
"""Of a migration that has brought the VM to its pod."""
OLD = record("red", asked=1, since=20, lastError="no")


@dataclass(frozen=True, kw_only=True)
class World:
    """NICs blue, which is listed, and red, which fails."""

    blue: Json
    red: Json = field(default_factory=lambda: record("red", asked=1, since=6, lastError="no"))
    row: Json = field(default_factory=lambda: LISTED)
    failed_ago: float | None = 5.5
    attached: tuple[str, ...] = ("blue",)
    conditions: tuple[Json, ...] = (MIGRATABLE,)
    networks: tuple[str, ...] = ("blue", "red")
    moving: Json | None = None

    def plan(self, **view: Any) -> Plan:
        rows = [primary_row(), *([self.row] if self.row else [])]
        raw = vmi(
            primary(),
            nic("blue"),
            nic("red"),
            rows=rows,
            operations=[self.blue, self.red],
            conditions=self.conditions,
            moving=self.moving,
        )
        asked = pod(networks=[element(name) for name in self.networks], attached=self.attached)
        failures = [] if self.failed_ago is None else [failed("red", at=later(-self.failed_ago))]
        facts = {
            "controller": CONTROLLER,
            "failures": failures,
            "spec_seen_at": later(-60),
            "report_pending_since": later(-60),
            **view,
        }
        return plan_vmi(vmi_view(raw, asked, **facts), now=NOW)


def reported(plan: Plan) -> Json:
    """The record of blue as it is written; empty when it stays."""
    patches = [item for item in plan.actions if isinstance(item, PatchStatus)]
    rows = [row_ for patch in patches for row_ in thaw(patch.wanted).get("interfaceOperations") or []]
    return next((row_ for row_ in rows if row_["name"] == "blue"), {})


def annotation(plan: Plan) -> str | None:
    """What the pod is asked for now; None when that stays."""
    found = [item.wanted for item in plan.actions if isinstance(item, PatchNetworksAnnotation)]
    return found[0] if found else None


def in_pod(asked: float, **members: Any) -> Json:
    return record("blue", asked=asked, since=asked, phase="InPod", reason="WaitingForGuest", **members)


@pytest.mark.parametrize(
    ("world", "is_suspect"),
    [
        pytest.param(World(blue=in_pod(6)), True, id="asked for together with one that failed"),
        pytest.param(World(blue=in_pod(6), failed_ago=None), False, id="nothing has failed"),
        pytest.param(World(blue=in_pod(6), failed_ago=0.5), False, id="the other failed long after"),
        pytest.param(World(blue=in_pod(6), failed_ago=7), False, id="the other failed before"),
        pytest.param(
            World(
                blue=record("blue", asked=6, since=6.3, phase="InPod"),
                red=record("red", asked=1, since=6.3),
                failed_ago=6.2,
            ),
            True,
            id="it failed before the first attempt was written down",
        ),
        pytest.param(
            World(blue=record("blue", asked=6, since=60, phase="InPod", attempts=2), failed_ago=7),
            False,
            id="it failed before the second attempt",
        ),
        pytest.param(
            World(blue=in_pod(6), red=record("red", asked=1, since=3)), False, id="the other was asked for later"
        ),
        pytest.param(World(blue=in_pod(6), row=row("blue", "domain", "multus-status")), False, id="the guest has it"),
        pytest.param(World(blue=in_pod(6, migration="m", path="Migration")), False, id="it came by a migration"),
        pytest.param(
            World(blue=in_pod(6), conditions=(MIGRATABLE, {"type": "Paused", "status": "True"})),
            False,
            id="the guest is paused",
        ),
        pytest.param(World(blue=suspect(6), failed_ago=None), True, id="suspected before, and nothing has changed"),
        pytest.param(
            World(blue=in_pod(20, lastTransitionTime=later(-6)), red=OLD), True, id="both were served late, in one pass"
        ),
        pytest.param(
            World(blue=record("blue", asked=20, since=20, phase="Pending"), red=OLD, failed_ago=0.1),
            True,
            id="served late, and seen in this pass",
        ),
        pytest.param(
            World(blue=record("blue", asked=20, since=20, phase="Blocked", attempts=0), red=OLD, failed_ago=0.1),
            False,
            id="nobody has asked for it",
        ),
        pytest.param(
            World(blue=in_pod(20, lastTransitionTime=later(-19)), red=OLD), False, id="it had come long before that"
        ),
    ],
)
def test_who_is_suspected(world: World, is_suspect: bool) -> None:
    assert reported(world.plan()).get("suspect", False) is is_suspect


@pytest.mark.parametrize(
    ("moving", "phase"),
    [
        pytest.param(None, "Migrating", id="its migration is on its way"),
        pytest.param(
            migration_state(migration_uid="earlier", **HERE), "Migrating", id="and the VM came by an earlier one"
        ),
        pytest.param(migration_state(**HERE), "InPod", id="it has come by its migration"),
    ],
)
def test_its_record_went_round_in_a_circle_while_the_vm_was_migrated_for_it(moving: Json | None, phase: str) -> None:
    """Found in its pod, taken for a phantom, waited for, migrated for: six writes and two events a round."""
    world = World(blue=IN_VAIN, failed_ago=None, moving=moving)
    found = IN_VAIN | reported(world.plan(migrations=[migration("Scheduling")]))
    assert found["phase"] == phase


def test_a_suspect_is_given_time_and_reported() -> None:
    plan = World(blue=in_pod(2), red=record("red", asked=1, since=2), failed_ago=1.5).plan()
    found = reported(plan)
    assert (found["phase"], found["reason"], found["suspect"]) == ("InPod", Reason.WAITING_FOR_GUEST, True)
    assert "asked for together with a NIC that failed" in found["message"]
    assert plan.again_at is not None
    assert plan.again_at <= later(3)
    assert "blue-net" in (annotation(plan) or "blue-net")


def test_one_that_was_served_late_has_its_time_from_then() -> None:
    """Its node agent may be plugging it just now."""
    assert annotation(World(blue=suspect(20, lastTransitionTime=later(-4)), failed_ago=3.5).plan()) is None
    assert annotation(World(blue=suspect(20, lastTransitionTime=later(-5)), failed_ago=4.5).plan()) is not None


@pytest.mark.parametrize("moment", ["2030-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.000000Z"])
def test_a_forged_arrival_is_now(moment: str) -> None:
    """Or the clock of another leader is ahead: its time would not come, or come much later."""
    blue = suspect(20, lastTransitionTime=moment)
    plan = World(blue=blue, failed_ago=3.5).plan()
    assert plan.again_at is not None
    assert plan.again_at <= later(5)
    assert reported(plan)["lastTransitionTime"] != moment, "else it would be now in each pass"
    assert annotation(World(blue=blue | reported(plan), failed_ago=3.5).plan()) is None


def test_then_it_is_taken_out_alone() -> None:
    """The other one would keep the controller from removing anything."""
    plan = World(blue=suspect(6)).plan()
    assert annotation(plan) == ""
    found = reported(plan)
    assert (found["path"], found["phase"], found["attempts"]) == ("Dynamic", "Pending", 1)
    assert "which is to detach first what network-status lists" in found["message"]
    waiting = World(blue={**found, "suspect": True}, networks=()).plan()
    assert annotation(waiting) is None, "until network-status drops it, nobody is asked for"


def test_and_asked_for_again_when_it_is_gone() -> None:
    gone = World(blue=suspect(7, phase="Pending"), row={}, attached=(), networks=(), failed_ago=None)
    plan = gone.plan()
    assert annotation(plan) is not None
    assert "blue-net" in str(annotation(plan))
    found = reported(plan)
    assert (found["attempts"], found.get("suspect", False)) == (2, False)


def test_a_controller_that_does_not_detach_it_has_a_deadline() -> None:
    waits = suspect(20, phase="Pending", waitingSince=later(-11))
    plan = World(blue=waits, networks=(), failed_ago=None).plan()
    assert [item for item in plan.actions if isinstance(item, Create) and item.kind is Kind.MIGRATION]
    assert reported(plan)["reason"] == Reason.DYNAMIC_TIMEOUT


def test_it_is_not_taken_out_without_end() -> None:
    plan = World(blue=suspect(20, attempts=4), failed_ago=None, red=record("red", asked=1, since=20)).plan()
    assert "blue-net" in (annotation(plan) or "blue-net")
    assert reported(plan)["phase"] == "Pending"


BLOCKERS: dict[str, dict[str, Any]] = {
    "its network is deleted": {"nads": [nad("red-net")]},
    "the controller is gone, and the VM cannot migrate": {"controller": NOT_DEPLOYED},
    "the controller is gone, and the VM must not migrate": {
        "controller": NOT_DEPLOYED,
        "policy": HotplugPolicy(migration=MigrationPolicy.NEVER),
    },
    "the controller is gone, and only it may bring it": {
        "controller": NOT_DEPLOYED,
        "policy": HotplugPolicy(dynamic_path=DynamicPath.ALWAYS),
    },
}


@pytest.mark.parametrize("title", BLOCKERS)
def test_one_that_is_blocked_before_it_was_detached_is_put_back_no_more(title: str) -> None:
    """Blocked it was no suspect, so it went in again, was suspected again, and out after five seconds, for ever."""
    taken_out = suspect(7, phase="Pending")
    world = World(blue=taken_out, networks=("red",), conditions=(), failed_ago=6.5)
    blocked = reported(world.plan(**BLOCKERS[title]))
    assert (blocked["phase"], blocked.get("suspect")) == ("Blocked", True)
    after = replace(world, blue=blocked).plan(**BLOCKERS[title])
    assert "blue-net" not in (annotation(after) or "")
    assert (reported(after) or blocked) == blocked


def test_a_guest_that_gets_it_after_all_ends_the_suspicion() -> None:
    plan = World(blue=suspect(2), row=row("blue", "domain", "multus-status")).plan()
    found = reported(plan)
    assert (found["phase"], "suspect" in found) == ("Ready", False)
