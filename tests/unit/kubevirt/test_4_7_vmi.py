"""Section 4.7: the life of a VMI and its launcher pod."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import NOW, condition, pod, uid, vmi

from nicplug_sandbox.kubevirt.objects import condition_of, phase_of
from nicplug_sandbox.kubevirt.vmi import View, status, sync
from nicplug_sandbox.kubevirt.writes import WriteRefused

DELETED: dict[str, Any] = {"deletionTimestamp": "2026-06-01T11:59:59Z"}
ENTRIES = [{"interface": "eth0", "default": True}]


def updated(machine: Any, *pods: Any, error: str = "", is_owned: bool = False) -> Any:
    """The VMI after one pass of the controller that owns it."""
    refused = WriteRefused(error, reason="FailedCreate") if error else None
    found = status(View(vmi=machine, pods=list(pods), is_owned=is_owned), now=NOW, error=refused)
    assert [item.verb for item in found.writes] in ([], ["update"])
    return found.writes[0].body if found.writes else machine


@pytest.mark.parametrize(
    ("old", "pods", "more", "new"),
    [
        ("", (), {}, "Pending"),
        ("", (pod(phase="Pending"),), {}, "Scheduling"),
        ("Pending", (pod(phase="Pending"),), {}, "Scheduling"),
        ("Pending", (), DELETED, "Failed"),
        ("Scheduling", (pod(phase="Pending"),), {}, "Scheduling"),
        ("Scheduling", (pod(),), {}, "Scheduled"),
        ("Scheduling", (pod(),), DELETED, "Scheduling"),
        ("Scheduling", (pod(phase="Failed"),), {}, "Failed"),
        ("Scheduling", (pod(**DELETED),), {}, "Failed"),
        ("Scheduling", (), {}, "Failed"),
    ],
)
def test_phases(old: str, pods: tuple[Any, ...], more: dict[str, Any], new: str) -> None:
    assert phase_of(updated(vmi(phase=old, node="" if old != "Scheduling" else "node01", **more), *pods)) == new


def test_scheduled_hands_the_vmi_to_its_node() -> None:
    found = updated(vmi(phase="Scheduling", node="", rows=[]), pod(entries=ENTRIES))
    assert found["metadata"]["labels"]["kubevirt.io/nodeName"] == "node01"
    assert found["status"]["nodeName"] == "node01"
    assert found["status"]["migrationTransport"] == "Unix"
    assert found["status"]["interfaces"] == [{"name": "default", "podInterfaceName": "eth0"}]
    assert found["status"]["phaseTransitionTimestamps"][-1]["phase"] == "Scheduled"


@pytest.mark.parametrize("phase", ["Scheduled", "Running"])
def test_without_its_pod_it_has_failed(phase: str) -> None:
    (found,) = status(View(vmi=vmi(phase=phase), pods=[]), now=NOW).writes
    assert isinstance(found.body, list)
    assert [item["value"] for item in found.body if item["path"] == "/status/phase"] == [phase, "Failed"]


def test_one_pod_is_made_while_it_is_unprocessed() -> None:
    (made,) = sync(View(vmi=vmi(phase=""), pods=[])).writes
    assert isinstance(made.body, dict)
    assert made.body["metadata"]["labels"]["kubevirt.io/created-by"] == uid("vmi-fedora")
    assert made.body["spec"]["readinessGates"] == [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]
    assert made.said is not None
    assert made.said.message == "Created virtual machine pod {name}"
    assert sync(View(vmi=vmi(phase="", node=""), pods=[pod(phase="Pending")])).writes == ()
    assert sync(View(vmi=vmi(phase="Scheduling"), pods=[])).writes == ()


def test_none_is_made_beside_a_running_migration() -> None:
    assert sync(View(vmi=vmi(phase=""), pods=[], has_running_migration=True)).error == "active migration exists"


def test_a_refused_pod_is_told_until_it_is_made() -> None:
    refused = updated(vmi(phase="Pending"), error="forbidden: exceeded quota")
    told = condition_of(refused, "Synchronized")
    assert told is not None
    assert (told["status"], told["reason"], told["message"]) == ("False", "FailedCreate", "forbidden: exceeded quota")
    assert condition_of(updated(refused), "Synchronized") is None


def test_deletion_takes_every_pod() -> None:
    both = [pod(), pod(name="target", node="node02")]
    found = sync(View(vmi=vmi(**DELETED), pods=both)).writes
    assert [(item.verb, item.name) for item in found] == [("delete", item["metadata"]["name"]) for item in both]


def test_finalizers_go_with_the_last_pod() -> None:
    held = ["kubevirt.io/virtualMachineControllerFinalize", "kubevirt.io/foregroundDeleteVirtualMachine"]
    ended = vmi(phase="Succeeded", finalizers=held)
    assert updated(ended, pod(phase="Succeeded")) == ended
    assert updated(ended, is_owned=True)["metadata"]["finalizers"] == held[:1]
    assert updated(ended)["metadata"]["finalizers"] == []


@pytest.mark.parametrize(
    ("phase", "launcher", "reason"),
    [
        ("Scheduled", pod(), "GuestNotRunning"),
        ("Running", pod(**DELETED), "PodTerminating"),
        ("Running", pod(), "PodConditionMissing"),
        ("Running", None, "PodNotExists"),
    ],
)
def test_ready(phase: str, launcher: Any, reason: str) -> None:
    (found,) = status(View(vmi=vmi(phase=phase), pods=[launcher] if launcher else []), now=NOW).writes
    assert isinstance(found.body, list)
    (conditions,) = [
        item["value"] for item in found.body if item["path"] == "/status/conditions" and item["op"] == "add"
    ]
    assert [(item["status"], item["reason"]) for item in conditions if item["type"] == "Ready"] == [("False", reason)]


def test_ready_is_the_pods_and_the_pods_gate_is_the_vmis() -> None:
    launcher = pod()
    (gate,) = sync(View(vmi=vmi(), pods=[launcher])).writes
    assert (gate.verb, gate.kind) == ("patch-status", "Pod")
    launcher["status"]["conditions"] = [condition("kubevirt.io/virtual-machine-unpaused"), condition("Ready")]
    assert sync(View(vmi=vmi(), pods=[launcher])).writes == ()
    assert "'status': 'True'" in str(status(View(vmi=vmi(), pods=[launcher]), now=NOW).writes[0].body)


def test_at_rest_nothing_is_written() -> None:
    launcher = pod(entries=ENTRIES)
    launcher["status"]["conditions"] = [condition("kubevirt.io/virtual-machine-unpaused"), condition("Ready")]
    settled = vmi(conditions=(condition("Ready"),), status={"activePods": {launcher["metadata"]["uid"]: "node01"}})
    view = View(vmi=settled, pods=[launcher])
    assert sync(view).writes == status(view, now=NOW).writes == ()
