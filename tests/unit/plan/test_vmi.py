"""The life of a VMI: its pod, its phases, its end."""

import copy
import json
from typing import Any

import pytest
from tests.build import (
    NOW,
    POD_UID,
    VM_UID,
    VMI_UID,
    Json,
    a_vmi,
    absent,
    element,
    later,
    nic,
    pod,
    primary,
    primary_row,
    row,
    vmi,
    vmi_view,
)
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Create, Delete, LabelNode, PatchFinalizers, PatchNetworksAnnotation, PatchStatus
from nicplug.plan.launcher_pod import launcher_pod_key
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vmi import active_pod, plan_vmi


def _kinds(plan: Plan) -> list[str]:
    return [type(action).__name__ for action in plan.actions]


def _status(plan: Plan) -> Json:
    patches = [action for action in plan.actions if isinstance(action, PatchStatus)]
    return {member: value for patch in patches for member, value in thaw(patch.wanted).items()}


def _plan(raw: Json, *pods: Json, **view: Any) -> Plan:
    return plan_vmi(vmi_view(raw, *pods, pending_since=later(-9), **view), now=NOW)


BOUND: dict[str, Any] = {"phase": "Pending", "ready": False}
LADDER = [
    ("no pod yet: Pending is skipped, the pod is made", vmi(phase=""), [], None),
    ("pod made", vmi(phase="Pending"), [pod(**BOUND, node="")], "Scheduling"),
    ("pod bound, not ready", vmi(phase="Scheduling"), [pod(**BOUND)], None),
    ("pod ready", vmi(phase="Scheduling"), [pod()], "Scheduled"),
    ("pod ready before anybody looked", vmi(phase=""), [pod()], "Scheduled"),
    ("pod failed while starting", vmi(phase="Scheduling"), [pod(phase="Failed")], "Failed"),
    ("pod ended before anybody looked", vmi(phase="Pending"), [pod(phase="Succeeded")], "Failed"),
    ("pod lost while starting", vmi(phase="Scheduling"), [], "Failed"),
    ("pod deleted while starting", vmi(phase="Scheduling"), [pod(deleting=True)], "Failed"),
    ("Scheduled is the node agent's", vmi(phase="Scheduled"), [pod()], None),
    ("pod lost at Scheduled", vmi(phase="Scheduled"), [], "Failed"),
    ("Running is the node agent's", vmi(), [pod()], None),
    ("pod lost while running", vmi(), [], "Failed"),
    ("pod ends while running: the node agent tells how", vmi(), [pod(phase="Failed")], None),
    ("an unknown phase is somebody's", vmi(phase="WaitingForSync"), [pod()], None),
    ("ended", vmi(phase="Succeeded"), [], None),
    ("failed", vmi(phase="Failed"), [pod(phase="Failed")], None),
]


@pytest.mark.parametrize(("title", "raw", "pods", "wanted"), LADDER, ids=[case[0] for case in LADDER])
def test_phase(title: str, raw: Json, pods: list[Json], wanted: str | None) -> None:
    assert _status(_plan(raw, *pods)).get("phase") == wanted, title


def test_a_new_phase_has_its_moment() -> None:
    status = _status(_plan(vmi(phase="Scheduling"), pod()))
    assert status["phaseTransitionTimestamps"] == [
        {"phase": "Scheduled", "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}
    ]
    assert (status["nodeName"], status["migrationTransport"]) == ("node01", "Unix")
    assert status["launcherContainerImageVersion"] == "launcher:1"
    assert status["activePods"] == {POD_UID: "node01"}


def test_the_node_label_comes_before_the_phase() -> None:
    plan = _plan(vmi(phase="Scheduling"), pod())
    assert _kinds(plan) == ["LabelNode", "PatchStatus"]
    (label,) = (action for action in plan.actions if isinstance(action, LabelNode))
    assert label.node == "node01"


def test_the_pod_is_made_behind_the_finalizer() -> None:
    assert _kinds(_plan(vmi(phase="", finalizers=[]))) == ["PatchFinalizers"]
    plan = _plan(vmi(phase=""))
    (action,) = plan.actions
    assert isinstance(action, Create)
    assert action.key == launcher_pod_key(a_vmi(vmi(phase="")))
    assert [item.reason for item in plan.announcements] == ["SuccessfulCreate"]


def test_a_pod_that_was_refused_is_told() -> None:
    plan = _plan(vmi(phase=""), refusal=Refusal(reason=Reason.FAILED_CREATE, message="exceeded quota"))
    assert _kinds(plan) == ["PatchStatus"]
    rows = {item["type"]: item for item in _status(plan)["conditions"]}
    assert (rows["Synchronized"]["status"], rows["Synchronized"]["message"]) == ("False", "exceeded quota")
    assert _status(plan)["phase"] == "Pending"


def test_the_scheduler_s_message_is_told() -> None:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
    waiting = pod(**BOUND, node="", conditions=conditions)
    rows = {item["type"]: item for item in _status(_plan(vmi(phase="Scheduling"), waiting))["conditions"]}
    assert (rows["PodScheduled"]["reason"], rows["PodScheduled"]["message"]) == ("Unschedulable", "0/3 nodes")
    after = _plan(vmi(phase="Scheduling", conditions=[rows["PodScheduled"]]), pod(**BOUND))
    assert "PodScheduled" not in {item["type"] for item in _status(after)["conditions"]}


READY = [
    ("no pod", vmi(phase="Succeeded"), [], "PodNotExists"),
    ("pod on its way out", vmi(), [pod(deleting=True)], "PodTerminating"),
    ("guest not running", vmi(phase="Scheduled"), [pod()], "GuestNotRunning"),
    ("pod without a Ready condition", vmi(), [pod(conditions=[])], "PodConditionMissing"),
]


@pytest.mark.parametrize(("title", "raw", "pods", "reason"), READY, ids=[case[0] for case in READY])
def test_ready(title: str, raw: Json, pods: list[Json], reason: str) -> None:
    rows = {item["type"]: item for item in _status(_plan(raw, *pods))["conditions"]}
    assert (rows["Ready"]["status"], rows["Ready"]["reason"]) == ("False", reason), title


def test_ready_is_the_pods() -> None:
    row_of_pod = {"type": "Ready", "status": "False", "reason": "Probe", "message": "no answer"}
    rows = {item["type"]: item for item in _status(_plan(vmi(), pod(conditions=[row_of_pod])))["conditions"]}
    assert (rows["Ready"]["status"], rows["Ready"]["reason"], rows["Ready"]["message"]) == (
        "False",
        "Probe",
        "no answer",
    )


class TestEnd:
    def test_the_pods_go_first(self) -> None:
        plan = _plan(vmi(deleting=True), pod(), pod(name="b", uid="b", deleting=True))
        assert [action.uid for action in plan.actions if isinstance(action, Delete)] == [POD_UID]
        assert [item.reason for item in plan.announcements] == ["SuccessfulDelete"]

    def test_while_they_go_nothing_is_done(self) -> None:
        assert _plan(vmi(deleting=True), pod(deleting=True)).is_empty

    def test_then_the_vmi_is_let_go(self) -> None:
        (action,) = _plan(vmi(deleting=True, owner_uid=VM_UID)).actions
        assert isinstance(action, PatchFinalizers)
        assert action.wanted == ()

    def test_finalizers_of_others_stay(self) -> None:
        raw = vmi(deleting=True, finalizers=["other/one", "kubevirt.io/foregroundDeleteVirtualMachine"])
        (action,) = _plan(raw).actions
        assert isinstance(action, PatchFinalizers)
        assert action.wanted == ("other/one",)
        assert _plan(vmi(deleting=True, finalizers=["other/one"])).is_empty

    def test_a_pod_is_not_made_for_one_that_goes(self) -> None:
        assert not any(isinstance(action, Create) for action in _plan(vmi(phase="", deleting=True)).actions)


def test_a_nic_taken_out_of_the_spec_keeps_its_link_while_the_guest_has_it() -> None:
    """Without `absent` the guest was never asked, and the pod interface was pulled from under it."""
    rows = [primary_row(), row("blue", "domain", "multus-status")]
    plan = _plan(vmi(primary(), rows=rows), pod(networks=[element("blue")], attached=["blue"]))
    assert not any(isinstance(action, PatchNetworksAnnotation) for action in plan.actions)
    gone = _plan(vmi(primary(), rows=[primary_row()]), pod(networks=[element("blue")], attached=["blue"]))
    assert any(isinstance(action, PatchNetworksAnnotation) for action in gone.actions)


class TestActivePod:
    """Which of several pods runs the guest."""

    def _name(self, raw: Json, *pods: Json) -> str | None:
        found = active_pod(vmi_view(raw, *pods))
        return found.key.name if found else None

    def test_the_newest(self) -> None:
        """Pods of a virt-controller before us have names that we cannot know."""
        old, young = pod(name="old"), pod(name="young", uid="b", creationTimestamp="2026-01-02T03:30:00Z")
        assert self._name(vmi(), old, young) == "young"

    def test_before_the_vmi_has_a_node_only_our_own(self) -> None:
        """A forged pod was adopted before the first of our own was made, which then never was."""
        raw = vmi(phase="", node="")
        made = launcher_pod_key(a_vmi(raw)).name
        assert self._name(raw, pod(name="forged")) is None
        assert self._name(raw, pod(name="forged"), pod(name=made, uid="b")) == made

    def test_only_on_the_vmi_s_node(self) -> None:
        """A forged pod with the right owner uid on another node is nobody's guest."""
        forged = pod(name="forged", uid="b", node="evil", creationTimestamp="2026-01-02T03:30:00Z")
        assert self._name(vmi(), pod(), forged) == pod()["metadata"]["name"]
        assert self._name(vmi(), forged) is None

    def test_a_forged_pod_on_the_same_node(self) -> None:
        """Right owner uid, right node, and younger: still not the pod that nicplug made."""
        made = pod(name=launcher_pod_key(a_vmi(vmi())).name)
        forged = pod(name="forged", uid="b", creationTimestamp="2026-01-02T03:30:00Z")
        assert self._name(vmi(), made, forged) == made["metadata"]["name"]

    def test_without_a_time_of_creation(self) -> None:
        one = pod(name="a", uid="a", creationTimestamp="")
        other = pod(name="b", uid="b", creationTimestamp="")
        assert self._name(vmi(), one, other) == "b"


class TestWhichPodIsAsked:
    """Only a ready pod gets its annotation, and only while the gate is on."""

    def _asks(self, raw: Json, *pods: Json, **view: Any) -> bool:
        return any(isinstance(action, PatchNetworksAnnotation) for action in _plan(raw, *pods, **view).actions)

    def test_ready(self) -> None:
        assert self._asks(vmi(primary(), nic("blue")), pod())

    def test_as_soon_as_it_is_scheduled(self) -> None:
        assert self._asks(vmi(primary(), nic("blue"), phase="Scheduling"), pod())

    @pytest.mark.parametrize(
        "launcher",
        [pod(ready=False), pod(phase="Pending"), pod(deleting=True), pod(node="other"), pod(phase="Failed")],
        ids=["not ready", "pending", "going", "elsewhere", "ended"],
    )
    def test_not_otherwise(self, launcher: Json) -> None:
        assert not self._asks(vmi(primary(), nic("blue")), launcher)

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed", "WaitingForSync"])
    def test_not_without_a_guest(self, phase: str) -> None:
        assert not self._asks(vmi(primary(), nic("blue"), phase=phase), pod())

    def test_not_while_the_gate_is_off(self) -> None:
        assert not self._asks(vmi(primary(), nic("blue")), pod(), has_config=False)

    def test_a_pod_without_any_annotation_can_be_asked(self) -> None:
        """Somebody took them all away; a patch below a missing map fails for ever."""
        launcher = pod()
        del launcher["metadata"]["annotations"]
        (action,) = (
            action
            for action in _plan(vmi(primary(), nic("blue")), launcher).actions
            if isinstance(action, PatchNetworksAnnotation)
        )
        after = _apply(launcher, action)
        assert after["metadata"]["annotations"].keys() == {"k8s.v1.cni.cncf.io/networks"}


def _apply(raw: Json, action: PatchNetworksAnnotation) -> Json:
    content = json.dumps([dict(operation) for operation in action.json_patch()]).encode()
    return patched(copy.deepcopy(raw), content_type=JSON_PATCH, content=content)


class TestAnnouncements:
    def _reasons(self, plan: Plan) -> list[str]:
        return [str(item.reason) for item in plan.announcements]

    def test_plugged(self) -> None:
        record = {"name": "blue", "operation": "Plug", "path": "Dynamic", "phase": "InPod", "reason": "WaitingForGuest"}
        started = {"startTime": "2026-01-02T03:04:04.428000Z"}
        rows = [primary_row(), row("blue", "domain", "multus-status")]
        launcher = pod(networks=[element("blue")], attached=["blue"])
        plan = _plan(vmi(primary(), nic("blue"), rows=rows, operations=[record | started]), launcher)
        assert self._reasons(plan) == ["InterfacePlugged"]
        assert "1.25 s" in plan.announcements[0].message

    def test_unplugged(self) -> None:
        record = {"name": "blue", "operation": "Unplug", "path": "Dynamic", "phase": "InPod", "reason": "x"}
        plan = _plan(vmi(primary(), absent("blue"), rows=[primary_row()], operations=[record]), pod())
        assert self._reasons(plan) == ["InterfaceUnplugged"]

    def test_blocked_once(self) -> None:
        raw = vmi(primary(), nic("blue", binding="masquerade"), rows=[primary_row()])
        plan = _plan(raw, pod())
        assert self._reasons(plan) == ["InterfaceBlocked"]
        raw["status"] |= _status(plan)
        assert self._reasons(_plan(raw, pod())) == []

    def test_a_guest_that_ended_has_not_been_unplugged(self) -> None:
        record = {"name": "blue", "operation": "Unplug", "path": "Dynamic", "phase": "InGuest", "reason": "x"}
        plan = _plan(vmi(primary(), absent("blue"), operations=[record]))
        assert _status(plan)["phase"] == "Failed"
        assert self._reasons(plan) == []


def test_pod_names_follow_from_the_uid() -> None:
    key = launcher_pod_key(a_vmi(vmi()))
    assert key == launcher_pod_key(a_vmi(vmi(phase="Scheduling")))
    assert key != launcher_pod_key(a_vmi(vmi(uid="other")))
    assert key.name.startswith("virt-launcher-vmi-fedora-")
    assert VMI_UID not in key.name
