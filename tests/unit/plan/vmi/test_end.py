"""The end of a VMI, at whatever moment it comes."""

from typing import Any

import pytest
from tests.build import (
    NOW,
    POD_UID,
    TARGET_POD_UID,
    VM_UID,
    VMI_UID,
    Json,
    a_pod,
    later,
    migration,
    pod,
    target_pod,
    vm,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import ConfirmPod, Create, Delete, PatchFinalizers, PatchLabels, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.plan_vmi import plan_vmi

PHASES = ("", "Pending", "Scheduling", "Scheduled", "Running", "Succeeded", "Failed", "WaitingForSync", "Unknown")


def _plan(raw: Json, *pods: Json, **view: Any) -> Plan:
    return plan_vmi(vmi_view(raw, *pods, **view), now=NOW)


@pytest.mark.parametrize("phase", PHASES)
def test_the_pods_go_first(phase: str) -> None:
    plan = _plan(vmi(phase=phase, deleting=True), pod(), pod(name="b", uid="b", deleting=True))
    assert [action.uid for action in plan.actions if isinstance(action, Delete)] == [POD_UID]
    assert [item.reason for item in plan.announcements] == ["SuccessfulDelete"]
    assert not any(isinstance(action, Create | PatchFinalizers) for action in plan.actions)


def test_a_replaced_target_pod_outlived_its_vmi() -> None:
    """Found by the simulation: seed 6600050 of "guests end while they move"."""
    target = target_pod()
    row = {"name": target["metadata"]["name"], "uid": TARGET_POD_UID}
    job = migration("Pending", status={"targetPodRenewal": {"count": 1, "replacedPods": [row]}})
    deleting = vmi(phase="Failed", deleting=True)
    plan = _plan(deleting, foreign=[target], migrations=[job])
    assert [action.uid for action in plan.actions if isinstance(action, Delete)] == [TARGET_POD_UID]
    for raw in (deleting, vmi(phase="Failed")):
        going = _plan(raw, foreign=[target_pod(deleting=True)], migrations=[job])
        assert not any(isinstance(action, PatchFinalizers) for action in going.actions)


@pytest.mark.parametrize("phase", PHASES)
def test_while_they_go_nothing_is_done(phase: str) -> None:
    assert _plan(vmi(phase=phase, deleting=True), pod(deleting=True)).is_empty


def test_pods_that_take_their_time_are_reported() -> None:
    """At once they would cost every stop a write; after 0.3 s somebody may wonder."""
    going = pod(deleting=True)
    assert _plan(vmi(deleting=True), going).again_at == later(0.3)
    status = status_of(_plan(vmi(deleting=True), going, report_pending_since=later(-1)))
    assert [row["reason"] for row in status["conditions"]] == ["PodTerminating"]
    assert "phase" not in status


@pytest.mark.parametrize("phase", PHASES)
def test_then_the_vmi_is_released(phase: str) -> None:
    (action,) = _plan(vmi(phase=phase, deleting=True, owner_uid=VM_UID)).actions
    assert isinstance(action, PatchFinalizers)
    assert thaw(action.wanted) == {"finalizers": []}


@pytest.mark.parametrize("strategy", ["Once", "RerunOnFailure"])
def test_not_before_its_vm_has_written_down_that_it_was_started(strategy: str) -> None:
    """The VMI is all that tells of it until then; a VM that runs once would be started twice."""
    raw = vmi(deleting=True, owner_uid=VM_UID)
    assert _plan(raw, vm=vm(run_strategy=strategy)).actions == ()
    (action,) = _plan(raw, vm=vm(run_strategy=strategy, status={"runStrategy": strategy})).actions
    assert isinstance(action, PatchFinalizers)


def test_finalizers_of_others_stay_and_the_vmi_has_failed_meanwhile() -> None:
    raw = vmi(deleting=True, finalizers=["other/one", "kubevirt.io/foregroundDeleteVirtualMachine"])
    (action,) = _plan(raw).actions
    assert isinstance(action, PatchFinalizers)
    assert thaw(action.wanted) == {"finalizers": ["other/one"]}
    (after,) = _plan(vmi(deleting=True, finalizers=["other/one"])).actions
    assert isinstance(after, PatchStatus)
    assert thaw(after.wanted)["phase"] == "Failed"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_ended_vmi_keeps_its_phase(phase: str) -> None:
    assert "phase" not in status_of(_plan(vmi(phase=phase, deleting=True, finalizers=["other/one"])))


@pytest.mark.parametrize("phase", ["", "Running"])
def test_a_pod_that_is_not_in_sight_is_looked_for(phase: str) -> None:
    """A POST without an answer may have made one, and one that lost its label looks deleted."""
    (action,) = _plan(vmi(phase=phase, deleting=True), podless_since=None).actions
    assert isinstance(action, ConfirmPod)


def test_not_for_a_vmi_for_which_no_pod_was_ever_made() -> None:
    raw = vmi(phase="", deleting=True, finalizers=["kubevirt.io/virtualMachineControllerFinalize"])
    (action,) = _plan(raw, podless_since=None).actions
    assert isinstance(action, PatchFinalizers)


def test_a_pod_without_its_label_gets_it_back_or_its_end_would_not_be_heard() -> None:
    plan = _plan(vmi(deleting=True), pod(labels={"kubevirt.io/created-by": VMI_UID}))
    assert [type(action) for action in plan.actions] == [PatchLabels, Delete]


def test_a_pod_that_an_orphaning_delete_left_behind_goes_too() -> None:
    orphan = pod(ownerReferences=[])
    (action,) = _plan(vmi(deleting=True), orphans=[a_pod(orphan)]).actions
    assert isinstance(action, Delete)
    assert action.uid == POD_UID


def test_a_refused_deletion_is_reported_instead_of_repeated() -> None:
    refusal = Refusal(reason=Reason.FAILED_DELETE, message="forbidden")
    (action,) = _plan(vmi(deleting=True), pod(), refusal=refusal).actions
    assert isinstance(action, PatchStatus)
    rows = {row["type"]: row for row in thaw(action.wanted)["conditions"]}
    assert rows["Synchronized"]["reason"] == "FailedDelete"


class TestEndedWithoutBeingDeleted:
    """KubeVirt's row "final": when no pods are left, the finalizers go."""

    def _kept(self, raw: Json, *pods: Json, **view: Any) -> tuple[str, ...] | None:
        actions = [action for action in _plan(raw, *pods, **view).actions if isinstance(action, PatchFinalizers)]
        return tuple(thaw(actions[0].wanted)["finalizers"]) if actions else None

    def test_no_pod_no_owner(self) -> None:
        assert self._kept(vmi(phase="Failed", owner_uid=VM_UID)) == ()

    def test_its_vm_has_a_word_too(self) -> None:
        raw = vmi(phase="Failed", owner_uid=VM_UID)
        assert self._kept(raw, vm=vm()) == ("kubevirt.io/virtualMachineControllerFinalize",)

    def test_a_pod_is_left(self) -> None:
        assert self._kept(vmi(phase="Failed"), pod(phase="Failed")) is None

    def test_no_pod_in_sight_is_not_enough(self) -> None:
        assert self._kept(vmi(phase="Failed"), podless_since=None) is None

    def test_it_has_not_ended(self) -> None:
        assert self._kept(vmi(), pod()) is None
