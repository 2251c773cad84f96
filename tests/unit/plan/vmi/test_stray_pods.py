"""Pods that a migration which does not exist any more has left behind."""

from typing import Any

import pytest
from tests.build import (
    NODE,
    POD_UID,
    TARGET_NODE,
    TARGET_POD_UID,
    Json,
    later,
    migration,
    migration_state,
    pod,
    target_pod,
    vmi,
    vmi_view,
)

from nicplug.plan.actions import CheckUnchanged, Delete
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.own_pods import plan_stray_pods
from nicplug.plan.vmi.plan_vmi import plan_vmi

STARTED: Json = {"startTimestamp": "2026-01-02T03:02:00Z"}
DONE: Json = {**STARTED, "endTimestamp": "2026-01-02T03:03:01Z", "completed": True}
FAILED: Json = {**DONE, "failed": True}
FORGED = pod(name="forged", uid="forged", node=TARGET_NODE)
FOREIGN = pod(name="foreign", uid="foreign")
EARLIER = target_pod(migration_uid="earlier", node=NODE, uid="earlier")


def _plan(raw: Json, *pods: Json, **view: Any) -> Plan:
    seen = vmi_view(raw, *pods, **view)
    return plan_stray_pods(seen, active=active_pod(seen), now=later(0))


CASES = [
    pytest.param(vmi(), [pod(), target_pod()], [], [TARGET_POD_UID], id="target, never handed off"),
    pytest.param(vmi(moving=migration_state()), [pod(), target_pod()], [], [TARGET_POD_UID], id="target, not started"),
    pytest.param(vmi(moving=migration_state(**STARTED)), [pod(), target_pod()], [], [], id="the node agents go on"),
    pytest.param(
        vmi(moving=migration_state(**FAILED)), [pod(), target_pod()], [], [TARGET_POD_UID], id="target of a failed one"
    ),
    pytest.param(
        vmi(moving=migration_state(**DONE), node=TARGET_NODE),
        [pod(), target_pod()],
        [],
        [POD_UID],
        id="source of one that succeeded",
    ),
    pytest.param(
        vmi(moving=migration_state(**DONE), node=TARGET_NODE),
        [pod(phase="Succeeded"), target_pod()],
        [],
        [POD_UID],
        id="source that has ended",
    ),
    pytest.param(
        vmi(moving=migration_state(**DONE), node=TARGET_NODE), [target_pod()], [], [], id="the guest's pod itself"
    ),
    pytest.param(vmi(), [pod(), target_pod()], [migration()], [], id="its migration exists"),
    pytest.param(vmi(), [pod(), target_pod()], [migration("Failed")], [], id="its migration exists and has failed"),
    pytest.param(
        vmi(moving=migration_state(**DONE), node=TARGET_NODE),
        [pod(), target_pod()],
        [migration("Succeeded")],
        [],
        id="source, its migration exists",
    ),
    pytest.param(
        vmi(),
        [pod(), target_pod(labels={})],
        [migration()],
        [],
        id="its migration exists, the label does not",
    ),
    pytest.param(vmi(), [pod(), FORGED], [], [], id="a pod that no migration has made"),
    pytest.param(
        vmi(node=TARGET_NODE), [pod(), target_pod()], [migration("Failed")], [POD_UID], id="source, its state is gone"
    ),
    pytest.param(
        vmi(node=TARGET_NODE),
        [pod(phase="Succeeded"), target_pod()],
        [migration("Succeeded")],
        [POD_UID],
        id="source that has ended, its state is gone",
    ),
    pytest.param(
        vmi(node=TARGET_NODE),
        [pod(phase="Succeeded", node=TARGET_NODE), target_pod()],
        [migration("Succeeded")],
        [POD_UID],
        id="source that has ended on the node that the guest has come back to, its state is gone",
    ),
    pytest.param(
        vmi(node=TARGET_NODE),
        [pod(node=TARGET_NODE), target_pod()],
        [migration("Succeeded")],
        [],
        id="a pod that lives on the guest's node",
    ),
    pytest.param(
        vmi(node=TARGET_NODE),
        [pod(phase="Succeeded"), EARLIER, target_pod()],
        [migration("Succeeded"), migration("Succeeded", name="earlier", uid="earlier")],
        [POD_UID, "earlier"],
        id="source to which another migration had brought the guest, its state is gone",
    ),
    pytest.param(
        vmi(node=TARGET_NODE), [pod(), target_pod()], [migration()], [], id="source, its migration has not ended"
    ),
    pytest.param(
        vmi(node=TARGET_NODE, moving=migration_state(**STARTED)),
        [pod(), target_pod()],
        [migration("Failed")],
        [],
        id="source, and the node agents go on",
    ),
    pytest.param(
        vmi(node=TARGET_NODE), [FOREIGN, target_pod()], [migration("Failed")], [], id="a pod that nobody has made"
    ),
    pytest.param(
        vmi(node=TARGET_NODE),
        [pod(), target_pod(ready=False)],
        [migration("Failed")],
        [],
        id="source of a guest whose pod is not ready",
    ),
    pytest.param(
        vmi(node=TARGET_NODE),
        [pod(), target_pod(creationTimestamp="2026-01-02T03:03:00Z")],
        [migration("Failed")],
        [],
        id="source that the guest has just left",
    ),
    pytest.param(
        vmi(node=TARGET_NODE),
        [pod(node=""), target_pod()],
        [migration("Failed")],
        [],
        id="a pod that is on no node is no source",
    ),
    pytest.param(vmi(), [pod(), target_pod(deleting=True)], [], [], id="on its way out"),
    pytest.param(vmi(), [pod(), target_pod(creationTimestamp="2026-01-02T03:03:00Z")], [], [], id="too young"),
    pytest.param(vmi(), [target_pod()], [], [], id="no pod has the guest"),
    pytest.param(vmi(), [pod(phase="Failed"), target_pod()], [], [], id="the guest's pod has ended"),
]


@pytest.mark.parametrize(("raw", "pods", "migrations", "deleted"), CASES)
def test_strays(raw: Json, pods: list[Json], migrations: list[Json], deleted: list[str]) -> None:
    plan = _plan(raw, *pods, migrations=migrations)
    assert [action.uid for action in plan.actions if isinstance(action, Delete)] == deleted
    assert [item.reason for item in plan.announcements] == ["SuccessfulDelete"] * len(deleted)


def test_the_deletion_is_guarded_by_what_was_seen_of_the_vmi() -> None:
    """The guest may have moved to that very pod since."""
    first, second = _plan(vmi(version=77), pod(), target_pod()).actions
    assert isinstance(first, CheckUnchanged)
    assert isinstance(second, Delete)
    assert [operation["path"] for operation in first.json_patch()] == ["/metadata/uid", "/metadata/resourceVersion"]
    assert first.json_patch()[1]["value"] == "77"


def test_a_young_one_is_looked_at_again() -> None:
    plan = _plan(vmi(), pod(), target_pod(creationTimestamp="2026-01-02T03:03:05Z"))
    assert (plan.actions, plan.again_at) == ((), later(59.322))


def test_not_while_something_is_refused() -> None:
    assert _plan(vmi(), pod(), target_pod(), refusal=Refusal(reason="FailedDelete", message="no")).actions == ()


def test_it_is_done_last() -> None:
    """A write of ours to the VMI would fail the check."""
    view = vmi_view(vmi(), pod(), target_pod(), report_pending_since=later(-9))
    assert not any(isinstance(action, Delete | CheckUnchanged) for action in plan_vmi(view, now=later(0)).actions)


def test_another_migration_does_not_answer_for_it() -> None:
    later_one = migration(name="b", uid="another")
    plan = _plan(vmi(node=NODE), pod(), target_pod(), migrations=[later_one])
    assert [action.uid for action in plan.actions if isinstance(action, Delete)] == [TARGET_POD_UID]
