"""The record of each NIC: which path, how far, why. Every reason that a person may read has a case here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    Json,
    Nic,
    absent,
    element,
    kubevirt,
    later,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vm_view,
    vmi,
    vmi_view,
)

from nicplug.model.frozen_json import thaw
from nicplug.model.operations import OperationPath as Path
from nicplug.model.operations import OperationPhase as Phase
from nicplug.plan.actions import PatchNetworksAnnotation, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vm import plan_vm
from nicplug.plan.vmi import plan_vmi


@dataclass(frozen=True, kw_only=True)
class Case:
    """A running VMI with a primary NIC and `nic`, its pod, and the record that has to come out; None: no record."""

    title: str
    nic: Nic
    operation: str = "Plug"
    path: Path = Path.DYNAMIC
    phase: Phase | None
    reason: Reason | None
    says: str = ""
    row: Json | None = None
    record: Json | None = None
    pod: Json = field(default_factory=pod)
    view: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.title


ASKED = pod(networks=[element("blue")])
HAS = pod(networks=[element("blue")], attached=["blue"])
PLUGGED = row("blue", "domain", "multus-status")
BLOCKED = Phase.BLOCKED

CASES = (
    Case(
        title="new NIC, pod not ready",
        nic=nic("blue"),
        pod=pod(ready=False),
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_LAUNCHER_POD,
    ),
    Case(
        title="new NIC, pod ready: it is asked in the same pass",
        nic=nic("blue"),
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        says="node01",
    ),
    Case(
        title="asked for, not attached",
        nic=nic("blue", attachment="ops/lan"),
        pod=ASKED,
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        says="ops/lan",
    ),
    Case(title="in the pod", nic=nic("blue"), pod=HAS, phase=Phase.IN_POD, reason=Reason.WAITING_FOR_GUEST),
    Case(
        title="in the guest",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        record=operation("blue"),
        phase=Phase.READY,
        reason=Reason.ATTACHED,
        says="blue-net",
    ),
    Case(title="in the guest from the start", nic=nic("blue"), pod=HAS, row=PLUGGED, phase=None, reason=None),
    Case(
        title="gate off",
        nic=nic("blue"),
        view={"config": kubevirt("Other")},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
        says="spec.configuration.developerConfiguration.featureGates",
    ),
    Case(
        title="gate listed and disabled",
        nic=nic("blue"),
        view={"config": kubevirt(disabled=["HotplugNICs"])},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
        says="disabledFeatureGates",
    ),
    Case(
        title="no KubeVirt CR",
        nic=nic("blue"),
        view={"has_config": False},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.KUBEVIRT_CR_MISSING,
    ),
    Case(
        title="SR-IOV",
        nic=nic("blue", binding="sriov"),
        path=Path.MIGRATION,
        phase=Phase.PENDING,
        reason=Reason.BINDING_NEEDS_MIGRATION,
    ),
    Case(
        title="masquerade",
        nic=nic("blue", binding="masquerade"),
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.BINDING_NEEDS_RESTART,
        says="masquerade",
    ),
    Case(
        title="no binding",
        nic=nic("blue", binding=""),
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.BINDING_NEEDS_RESTART,
    ),
    Case(
        title="an interface that is only in the template, on the pod network",
        nic=nic("blue"),
        row=PLUGGED,
        pod=HAS,
        view={"vm": vm(primary(), nic("blue"), primary("extra", binding="bridge"))},
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.NETWORK_NEEDS_RESTART,
    ),
    Case(
        title="a name that no pod may get",
        nic=nic("a.b"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_NAME,
    ),
    Case(title="an empty name", nic=nic(""), path=Path.NONE, phase=BLOCKED, reason=Reason.INVALID_NAME),
    Case(
        title="a multicast MAC address",
        nic=nic("blue", mac="01:00:5e:00:00:01"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_MAC_ADDRESS,
    ),
    Case(
        title="a reference that cannot resolve",
        nic=nic("blue", attachment="Blue Net"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_ATTACHMENT_REFERENCE,
    ),
    Case(
        title="an interface without its network",
        nic=({"name": "blue", "bridge": {}}, {"name": "spare", "multus": {"networkName": "spare-net"}}),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.NO_NETWORK,
    ),
    Case(
        title="the annotation cannot be read",
        nic=nic("blue"),
        pod=pod(networks="[{"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ANNOTATION_UNREADABLE,
        says="k8s.v1.cni.cncf.io/networks",
    ),
    # The way out.
    Case(
        title="unplug, the guest holds it",
        nic=absent("blue"),
        pod=HAS,
        row=PLUGGED,
        operation="Unplug",
        phase=Phase.IN_GUEST,
        reason=Reason.WAITING_FOR_GUEST_RELEASE,
    ),
    Case(
        title="unplug, the pod holds it",
        nic=absent("blue"),
        pod=HAS,
        row=row("blue", "multus-status"),
        operation="Unplug",
        phase=Phase.IN_POD,
        reason=Reason.WAITING_FOR_POD_RELEASE,
    ),
    Case(title="unplug, gone", nic=absent("blue"), phase=None, reason=None),
    Case(
        title="unplug, the annotation cannot be read: the pod cannot be asked to let it go",
        nic=absent("blue"),
        pod=pod(networks="[{", attached=["blue"]),
        row=row("blue", "multus-status"),
        operation="Unplug",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ANNOTATION_UNREADABLE,
        says="k8s.v1.cni.cncf.io/networks",
    ),
    Case(
        title="unplug, gate off",
        nic=absent("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"config": kubevirt("Other")},
        operation="Unplug",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
    ),
    Case(
        title="unplug of a binding that cannot leave",
        nic=absent("blue", binding="sriov"),
        pod=HAS,
        row=PLUGGED,
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.UNPLUG_NEEDS_RESTART,
        says="restart the VM",
    ),
    Case(
        title="unplug from a pod that counts its interfaces",
        nic=absent("blue"),
        pod=pod(attached=["net1"]),
        row=row("blue", "domain", "multus-status", pod_interface="net1"),
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ORDINAL_INTERFACE_NAMES,
        says="restart the VM",
    ),
)


def _plan(case: Case) -> Plan:
    raw = vmi(
        primary(),
        case.nic,
        rows=[primary_row(), *([case.row] if case.row else [])],
        operations=[case.record] if case.record else [],
        owner_uid=VM_UID if "vm" in case.view else None,
    )
    return plan_vmi(vmi_view(raw, case.pod, pending_since=later(-60), **case.view), now=NOW)


def _status(plan: Plan) -> Json:
    patches = [action for action in plan.actions if isinstance(action, PatchStatus)]
    return {member: value for patch in patches for member, value in thaw(patch.wanted).items()}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_record(case: Case) -> None:
    records = _status(_plan(case)).get("interfaceOperations") or []
    if case.phase is None:
        assert records == []
        return
    assert len(records) == 1
    record = records[0]
    found = (record["operation"], record["path"], record["phase"], record["reason"])
    assert found == (case.operation, case.path, case.phase, case.reason)
    assert case.says in record["message"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_condition_tells_the_same(case: Case) -> None:
    conditions = {item["type"]: item for item in _status(_plan(case)).get("conditions") or []}
    ready = conditions["InterfacesReady"]
    if case.phase in (None, Phase.READY):
        assert (ready["status"], ready["reason"]) == ("True", Reason.ALL_INTERFACES_READY)
    else:
        assert (ready["status"], ready["reason"]) == ("False", case.reason)
    assert ready["observedGeneration"] == 1


# What only conditions or events say, and how it comes about.
ELSEWHERE: dict[Reason, Plan] = {
    Reason.ALL_INTERFACES_READY: plan_vmi(vmi_view(vmi(), pod(), pending_since=later(-9)), now=NOW),
    Reason.GUEST_NOT_RUNNING: plan_vmi(vmi_view(vmi(phase="Scheduling"), pod(), pending_since=later(-9)), now=NOW),
    Reason.RUN_STRATEGY_NOT_SUPPORTED: plan_vm(vm_view(vm(run_strategy="Manual"), pending_since=later(-9)), now=NOW),
    Reason.NAME_TAKEN: plan_vm(vm_view(vm(), vmi=vmi(), pending_since=later(-9)), now=NOW),
    # The reconciler gives these two their reason: tests/unit/reconcile/test_reconciler.py.
    Reason.FAILED_CREATE: plan_vmi(
        vmi_view(vmi(phase=""), refusal=Refusal(reason=Reason.FAILED_CREATE, message="no")), now=NOW
    ),
    Reason.HOTPLUG_ERROR: plan_vm(
        vm_view(
            vm(),
            vmi=vmi(owner_uid=VM_UID),
            refusal=Refusal(reason=Reason.HOTPLUG_ERROR, message="no"),
            pending_since=later(-9),
        ),
        now=NOW,
    ),
}


@pytest.mark.parametrize("reason", ELSEWHERE, ids=str)
def test_reasons_of_conditions(reason: Reason) -> None:
    status = _status(ELSEWHERE[reason])
    assert reason in {item.get("reason") for item in status.get("conditions") or []}


def test_every_reason_can_be_reached() -> None:
    """A reason that nothing gives is a promise in the documents that nobody keeps."""
    reached = {case.reason for case in CASES} | set(ELSEWHERE)
    assert set(Reason) - reached == set()


def _with_history(records: Sequence[Json], *nics: Nic, rows: Sequence[Json], launcher: Json) -> list[Json]:
    raw = vmi(primary(), *nics, rows=[primary_row(), *rows], operations=records)
    found: list[Json] = (
        _status(plan_vmi(vmi_view(raw, launcher, pending_since=later(-9)), now=NOW)).get("interfaceOperations") or []
    )
    return found


def test_a_record_keeps_its_start_and_counts_from_its_last_move() -> None:
    old = operation("blue", since=later(-5))
    (record,) = _with_history([old], nic("blue"), rows=[], launcher=HAS)
    assert record["phase"] == "InPod"
    assert record["startTime"] == "2026-01-02T03:04:00.678000Z"
    assert record["lastTransitionTime"] == "2026-01-02T03:04:05.678000Z"


def test_an_unplug_is_a_new_record() -> None:
    old = operation("blue", phase="Ready", reason="Attached", since=later(-500))
    (record,) = _with_history([old], absent("blue"), rows=[PLUGGED], launcher=HAS)
    assert (record["operation"], record["startTime"]) == ("Unplug", "2026-01-02T03:04:05.678000Z")


def test_a_nic_that_came_another_way_keeps_its_path() -> None:
    old = operation("blue", path="Migration", phase="Pending", reason="BindingNeedsMigration")
    (record,) = _with_history([old], nic("blue", binding="sriov"), rows=[PLUGGED], launcher=HAS)
    assert (record["path"], record["phase"]) == ("Migration", "Ready")


def test_records_stand_in_the_order_of_the_spec() -> None:
    records = _with_history([], nic("red"), nic("blue"), nic("green"), rows=[], launcher=pod())
    assert [record["name"] for record in records] == ["red", "blue", "green"]


def test_a_record_of_a_nic_that_nobody_knows_goes() -> None:
    assert _with_history([operation("blue")], rows=[], launcher=pod()) == []


def test_a_nic_of_an_empty_name_does_not_make_writes_without_end() -> None:
    """Its record was not found again, so that each pass wrote a new one, with an event, at full speed."""
    raw = vmi(primary(), nic(""), rows=[primary_row()])
    first = plan_vmi(vmi_view(raw, pod()), now=NOW)
    raw["status"] |= _status(first)
    second = plan_vmi(vmi_view(raw, pod()), now=later(1))
    assert second.actions == ()
    assert second.announcements == ()


def _template_asks_for_blue_to_go(*, pod_interface: str | None = None, **view: Any) -> tuple[str, str, str]:
    rows = [primary_row(), row("blue", "domain", "multus-status", pod_interface=pod_interface)]
    raw = vmi(primary(), nic("blue"), rows=rows, owner_uid=VM_UID)
    plan = plan_vmi(
        vmi_view(raw, HAS, vm=vm(primary(), absent("blue")), pending_since=later(-9), **view),
        now=NOW,
    )
    (record,) = _status(plan)["interfaceOperations"]
    return record["operation"], record["phase"], record["reason"]


def test_an_unplug_that_does_not_reach_the_vmi_is_not_invisible() -> None:
    """With the gate off, or from a pod that counts its interfaces, the template's wish had no record at all."""
    off = _template_asks_for_blue_to_go(config=kubevirt("Other"))
    assert off == ("Unplug", "Blocked", Reason.FEATURE_GATE_DISABLED)
    counted = _template_asks_for_blue_to_go(pod_interface="net1")
    assert counted == ("Unplug", "Blocked", Reason.ORDINAL_INTERFACE_NAMES)
    refused = _template_asks_for_blue_to_go(refusal=Refusal(reason=Reason.HOTPLUG_ERROR, message="no"))
    assert refused == ("Unplug", "Failed", Reason.HOTPLUG_ERROR)


def test_the_primary_nic_cannot_be_unplugged_and_says_so() -> None:
    """KubeVirt's admission forbids it; without a webhook the wish would go through, or vanish without a word."""
    raw = vmi(primary(), rows=[primary_row()], owner_uid=VM_UID)
    view = vmi_view(raw, HAS, vm=vm(primary(state="absent")), pending_since=later(-9))
    (record,) = _status(plan_vmi(view, now=NOW))["interfaceOperations"]
    assert (record["name"], record["phase"], record["reason"]) == ("default", "Blocked", Reason.UNPLUG_NEEDS_RESTART)


def test_a_lost_addition_does_not_hold_a_removal_for_ever() -> None:
    """red is in the guest and not in network-status (DNC#157): blue has waited for it long enough."""
    launcher = pod(networks=[element("red"), element("blue")], attached=["blue"])
    raw = vmi(
        primary(),
        nic("red"),
        absent("blue"),
        rows=[primary_row(), row("red", "domain"), row("blue", "multus-status")],
        operations=[operation("blue", type_="Unplug", phase="InPod", since=later(-11))],
    )
    plan = plan_vmi(vmi_view(raw, launcher), now=NOW)
    patched = [action.wanted for action in plan.actions if isinstance(action, PatchNetworksAnnotation)]
    assert len(patched) == 1
    assert "red" in patched[0]
    assert "blue" not in patched[0]


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "soon", "", None])
def test_a_start_time_that_somebody_wrote_is_no_trouble(start: str | None) -> None:
    record = operation("blue") | {"startTime": start}
    raw = vmi(primary(), nic("blue"), absent("red"), rows=[primary_row()], operations=[record])
    plan = plan_vmi(vmi_view(raw, pod(attached=["red"])), now=NOW)
    assert plan.actions
