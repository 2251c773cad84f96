"""The life of a VMI: its pod, its phases, its end."""

import copy
import json
from typing import Any

import pytest
from tests.build import (
    NOW,
    VMI_UID,
    Json,
    Nic,
    a_vmi,
    absent,
    element,
    kubevirt,
    later,
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
from tests.fakes.patches import JSON_PATCH, patched
from tests.unit.plan.outcome import completions, status_of

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import CheckNics, Create, PatchLabels, PatchNetworksAnnotation
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.launcher_pod import launcher_pod_key
from nicplug.plan.vmi.plan_vmi import plan_vmi


def _kinds(plan: Plan) -> list[str]:
    return [type(action).__name__ for action in plan.actions]


def _plan(raw: Json, *pods: Json, **view: Any) -> Plan:
    return plan_vmi(vmi_view(raw, *pods, report_pending_since=later(-9), **view), now=NOW)


def test_the_node_label_comes_before_the_phase() -> None:
    plan = _plan(vmi(phase="Scheduling"), pod())
    assert _kinds(plan) == ["PatchLabels", "PatchStatus"]
    (label,) = (action for action in plan.actions if isinstance(action, PatchLabels))
    assert thaw(label.wanted) == {"kubevirt.io/nodeName": "node01"}


def test_the_pod_is_made_behind_the_finalizer() -> None:
    assert _kinds(_plan(vmi(phase="", finalizers=[]))) == ["PatchFinalizers"]
    plan = _plan(vmi(phase=""))
    (action,) = plan.actions
    assert isinstance(action, Create)
    assert action.key == launcher_pod_key(a_vmi(vmi(phase="")))
    assert [item.reason for item in plan.announcements] == ["SuccessfulCreate"]


def test_a_pod_that_was_refused_is_reported() -> None:
    plan = _plan(vmi(phase=""), refusal=Refusal(reason=Reason.FAILED_CREATE, message="exceeded quota"))
    assert _kinds(plan) == ["PatchStatus"]
    rows = {item["type"]: item for item in status_of(plan)["conditions"]}
    assert (rows["Synchronized"]["status"], rows["Synchronized"]["message"]) == ("False", "exceeded quota")
    assert status_of(plan)["phase"] == "Pending"


FORBIDDEN = {"config": kubevirt(permitBridgeInterfaceOnPodNetwork=False)}
REFUSED_SPECS: list[tuple[list[Nic], dict[str, Any], str]] = [
    (
        [primary(), nic("blue", binding="masquerade")],
        {},
        "spec.domain.devices.interfaces[1].name: Masquerade interface only implemented with pod network. Use bridge, "
        "or the pod network",
    ),
    (
        [primary(), primary("second")],
        {},
        "spec.interfaces: more than one interface is connected to a pod network in spec.interfaces. Remove its "
        "interface and network, or make it a secondary Multus network",
    ),
    (
        [primary(binding="bridge")],
        FORBIDDEN,
        "spec.domain.devices.interfaces[0].name: Bridge on pod network configuration is not enabled under "
        "kubevirt-config. Use masquerade, or ask the cluster admin for permitBridgeInterfaceOnPodNetwork in the "
        "KubeVirt CR",
    ),
]


@pytest.mark.parametrize(("nics", "view", "words"), REFUSED_SPECS, ids=lambda value: str(value)[-40:])
def test_a_pod_was_made_for_what_admission_refuses(nics: list[Nic], view: dict[str, Any], words: str) -> None:
    """Its NICs were left out without a word. An instance that runs already goes on."""
    plan = _plan(vmi(*nics, phase=""), **view)
    assert _kinds(plan) == ["PatchStatus"]
    rows = {item["type"]: item for item in status_of(plan)["conditions"]}
    assert (rows["Synchronized"]["status"], rows["Synchronized"]["message"]) == ("False", words)
    assert [item.reason for item in plan.announcements] == [Reason.FAILED_CREATE]
    running = _plan(vmi(*nics, rows=[row(item[0]["name"], "domain") for item in nics]), pod(), **view)
    assert status_of(running).get("phase", "Running") == "Running"


def test_a_network_that_is_missing_is_waited_for_and_then_the_pod_is_made_without_it() -> None:
    """Two seconds from when the spec was seen: a network may have been created together with the VM."""
    raw = vmi(primary(), nic("blue"), nic("red"), phase="")
    early = _plan(raw, nads=[nad("red-net")], spec_seen_at=later(-1))
    assert early.actions == ()
    assert early.again_at == later(1)
    (action,) = _plan(raw, nads=[nad("red-net")], spec_seen_at=later(-2)).actions
    assert isinstance(action, Create)
    networks = json.loads(thaw(action.body)["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"])
    assert [item["name"] for item in networks] == ["red-net"]
    assert isinstance(_plan(raw, nads=[nad("red-net"), nad("blue-net")], spec_seen_at=NOW).actions[0], Create)


def test_a_nic_taken_out_of_the_spec_keeps_its_link_while_the_guest_has_it() -> None:
    """Without `absent` the guest was never asked, and the pod interface was pulled from under it."""
    rows = [primary_row(), row("blue", "domain", "multus-status")]
    plan = _plan(vmi(primary(), rows=rows), pod(networks=[element("blue")], attached=["blue"]))
    assert not any(isinstance(action, PatchNetworksAnnotation) for action in plan.actions)
    gone = _plan(vmi(primary(), rows=[primary_row()]), pod(networks=[element("blue")], attached=["blue"]))
    assert any(isinstance(action, PatchNetworksAnnotation) for action in gone.actions)


@pytest.mark.parametrize(
    ("nics", "is_checked"),
    [([absent("blue")], True), ([], True), ([nic("blue"), nic("red")], False)],
    ids=["detached", "not in the spec", "another plugged"],
)
def test_before_an_element_goes_the_spec_is_looked_at_once_more(nics: list[Nic], *, is_checked: bool) -> None:
    """Two leaders: one that was behind took out what the other had asked for, from under the guest that plugged it."""
    raw = vmi(primary(), *nics, rows=[primary_row(), row("blue", "multus-status")], generation=7)
    plan = _plan(raw, pod(networks=[element("blue")], attached=["blue"]))
    effects = [action for action in plan.actions if isinstance(action, CheckNics | PatchNetworksAnnotation)]
    assert [type(action) for action in effects] == [*([CheckNics] if is_checked else []), PatchNetworksAnnotation]
    if is_checked:
        assert isinstance(effects[0], CheckNics)
        assert effects[0].generation == 7


def test_a_removal_waits_for_an_addition_that_was_just_asked_for_however_old_the_spec_is() -> None:
    """The pod became ready a minute after the change: the next pass took the element out beside the addition, and one
    change with both loses the network-status of what it adds (DNC#157)."""
    raw = vmi(primary(), absent("red"), nic("blue"), rows=[primary_row(), row("red", "multus-status")])
    first = _plan(raw, pod(networks=[element("red")], attached=["red"]), spec_seen_at=later(-60))
    raw["status"] |= status_of(first)
    asked = pod(networks=[element("red"), element("blue")], attached=["red"])
    again = _plan(raw, asked, spec_seen_at=later(-60))
    assert any(isinstance(action, PatchNetworksAnnotation) for action in first.actions)
    assert not any(isinstance(action, PatchNetworksAnnotation) for action in again.actions)


@pytest.mark.parametrize("reason", ["AfterMigration", "WaitingForLauncherPod", "NetworkAttachmentDefinitionMissing"])
def test_nor_does_it_travel_with_an_addition_that_has_waited_for_something_else(reason: str) -> None:
    """Nobody was asked for that yet: its record's age says nothing about how long the controller has had it."""
    phase = "Blocked" if reason.startswith("Network") else "Pending"
    waited = operation("blue", phase=phase, reason=reason, since=later(-45), attempts=0)
    leaving = operation("red", type_="Unplug", phase="InGuest", reason="WaitingForGuestRelease", since=later(-1))
    rows = [primary_row(), row("red", "multus-status")]
    raw = vmi(primary(), absent("red"), nic("blue"), rows=rows, operations=[leaving, waited])
    plan = _plan(raw, pod(networks=[element("red")], attached=["red"]), spec_seen_at=later(-45))
    (asked,) = [action.wanted for action in plan.actions if isinstance(action, PatchNetworksAnnotation)]
    assert {item["name"] for item in json.loads(asked)} == {"red-net", "blue-net"}


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
        assert not self._asks(vmi(primary(), nic("blue")), pod(), config=None)

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

    def test_unplugged_when_its_entry_goes_before_its_row(self) -> None:
        """The entry is dropped in the pass that sees the pod without it, and the status may be written in the next."""
        record = {"name": "blue", "operation": "Unplug", "path": "Dynamic", "phase": "InPod", "reason": "x"}
        rows = [primary_row(), row("blue", "multus-status")]
        assert self._reasons(_plan(vmi(primary(), rows=rows, operations=[record]), pod())) == ["InterfaceUnplugged"]

    def test_an_unplug_that_was_taken_back_is_none(self) -> None:
        record = {"name": "default", "operation": "Unplug", "path": "Restart", "phase": "Blocked", "reason": "x"}
        assert self._reasons(_plan(vmi(primary(), rows=[primary_row()], operations=[record]), pod())) == []
        record = {"name": "blue", "operation": "Unplug", "path": "Dynamic", "phase": "Pending", "reason": "x"}
        rows = [primary_row(), row("blue", "domain", "multus-status")]
        launcher = pod(networks=[element("blue")], attached=["blue"])
        plan = _plan(vmi(primary(), nic("blue"), rows=rows, operations=[record]), launcher)
        assert self._reasons(plan) == []
        assert completions(plan) == []

    def test_blocked_once(self) -> None:
        raw = vmi(primary(), nic("blue", binding="masquerade"), rows=[primary_row()])
        plan = _plan(raw, pod())
        assert self._reasons(plan) == ["InterfaceBlocked"]
        raw["status"] |= status_of(plan)
        assert self._reasons(_plan(raw, pod())) == []

    def test_a_guest_that_ended_has_not_been_unplugged(self) -> None:
        record = {"name": "blue", "operation": "Unplug", "path": "Dynamic", "phase": "InGuest", "reason": "x"}
        plan = _plan(vmi(primary(), absent("blue"), operations=[record]))
        assert status_of(plan)["phase"] == "Failed"
        assert self._reasons(plan) == ["LauncherPodLost"]


def test_pod_names_follow_from_the_uid() -> None:
    key = launcher_pod_key(a_vmi(vmi()))
    assert key == launcher_pod_key(a_vmi(vmi(phase="Scheduling")))
    assert key != launcher_pod_key(a_vmi(vmi(uid="other")))
    assert key.name.startswith("virt-launcher-vmi-fedora-")
    assert VMI_UID not in key.name
