"""A VM takes over the VMI of its name that nobody controls, as KubeVirt does."""

import copy
import json
from typing import Any

import pytest
from tests.build import NAME, NOW, VM_UID, VMI_UID, Json, later, nic, owner, primary, primary_row, vm, vm_view, vmi
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.model.frozen_json import thaw
from nicplug.model.names import VM_FINALIZER, VMI_FINALIZER
from nicplug.plan.actions import AdoptVmi, CheckUnchanged, Create, Delete, Kind, PatchFinalizers, PatchInterfaces
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal
from nicplug.plan.vm.plan_vm import plan_vm

REFERENCE = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "name": NAME,
    "uid": VM_UID,
    "controller": True,
    "blockOwnerDeletion": True,
}
ORPHAN: Json = {"finalizers": [VM_FINALIZER, VMI_FINALIZER], "rows": [primary_row()]}
SOMEBODY = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "a"}


def plan_for(raw: Json, running: Json, **members: Any) -> Plan:
    return plan_vm(vm_view(raw, vmi=running, report_pending_since=later(-9), **members), now=NOW)


def adopted(raw: Json, running: Json) -> Json:
    """The VMI after the adoption."""
    check, adoption = plan_for(raw, running).actions
    assert isinstance(check, CheckUnchanged)
    assert (check.kind, check.uid, check.version) == (Kind.VM, VM_UID, 10)
    assert isinstance(adoption, AdoptVmi)
    content = json.dumps([dict(item) for item in adoption.json_patch()]).encode()
    return patched(copy.deepcopy(running), content_type=JSON_PATCH, content=content)


@pytest.mark.parametrize("strategy", ["Always", "Halted", "Manual", "RerunOnFailure", "Once"])
@pytest.mark.parametrize("phase", ["", "Running", "Succeeded"])
def test_an_orphaned_vmi_is_adopted_when_its_vm_is_applied_again(phase: str, strategy: str) -> None:
    """`kubectl delete vm --cascade=orphan` and `kubectl apply`: it said NameTaken without end."""
    after = adopted(vm(primary(), run_strategy=strategy), vmi(primary(), phase=phase, **ORPHAN))
    assert after["metadata"]["ownerReferences"] == [REFERENCE]
    assert after["metadata"]["finalizers"] == [VM_FINALIZER, VMI_FINALIZER]
    again = plan_for(vm(primary(), run_strategy=strategy), after)
    assert not any(isinstance(action, AdoptVmi | Create) for action in again.actions)


def test_a_vmi_that_never_had_a_vm_is_adopted_with_the_finalizer_of_one() -> None:
    after = adopted(vm(primary()), vmi(primary(), rows=[primary_row()]))
    assert after["metadata"]["ownerReferences"] == [REFERENCE]
    assert after["metadata"]["finalizers"] == [VMI_FINALIZER, VM_FINALIZER]
    bare = adopted(vm(primary()), vmi(primary(), finalizers=None))
    assert bare["metadata"]["finalizers"] == [VM_FINALIZER]


def test_owners_that_do_not_control_it_stay() -> None:
    after = adopted(vm(primary()), vmi(primary(), ownerReferences=[SOMEBODY], **ORPHAN))
    assert after["metadata"]["ownerReferences"] == [SOMEBODY, REFERENCE]


def test_the_finalizer_of_the_vm_comes_first() -> None:
    """Without it the VM could be gone when its VMI gets it for an owner, and the VMI would be deleted."""
    (action,) = plan_for(vm(primary(), finalizers=None), vmi(primary(), **ORPHAN)).actions
    assert isinstance(action, PatchFinalizers)
    assert (action.kind, thaw(action.wanted)) == (Kind.VM, {"finalizers": [VM_FINALIZER]})


@pytest.mark.parametrize(
    ("raw", "running", "members"),
    [
        (vm(primary()), vmi(primary(), owner_uid="another"), {}),
        (vm(primary()), vmi(primary(), ownerReferences=[owner("VirtualMachinePool", "a", "pool")]), {}),
        (vm(primary()), vmi(primary(), deleting=True, **ORPHAN), {}),
        (vm(primary(), deleting=True), vmi(primary(), **ORPHAN), {}),
        (vm(primary()), vmi(primary(), **ORPHAN), {"refusal": Refusal(reason="FailedUpdateError", message="no")}),
        (vm(primary()), vmi(primary(), owner_uid=VM_UID), {}),
    ],
    ids=["another VM's", "of another kind", "it goes", "the VM goes", "refused", "its own"],
)
def test_a_vmi_is_not_adopted(raw: Json, running: Json, members: Json) -> None:
    assert not any(isinstance(item, AdoptVmi) for item in plan_for(raw, running, **members).actions)


def test_a_halted_vm_stops_what_it_has_adopted() -> None:
    """As in KubeVirt."""
    halted = vm(primary(), run_strategy="Halted")
    after = adopted(halted, vmi(primary(), **ORPHAN))
    actions = plan_for(halted, after).actions
    assert [(item.kind, item.uid) for item in actions if isinstance(item, Delete)] == [(Kind.VMI, VMI_UID)]


def test_nics_of_the_template_flow_to_what_was_adopted() -> None:
    template = vm(primary(), nic("blue"))
    after = adopted(template, vmi(primary(), **ORPHAN))
    assert any(isinstance(item, PatchInterfaces) for item in plan_for(template, after).actions)


def test_who_adopts_it_second_is_refused() -> None:
    """Two VMs cannot have one name, but two leaders may see two VMs that had it one after the other."""
    running = vmi(primary(), **ORPHAN)
    _, adoption = plan_for(vm(primary()), running).actions
    assert isinstance(adoption, AdoptVmi)
    assert {"op": "test", "path": "/metadata/resourceVersion", "value": "10"} in [
        dict(item) for item in adoption.json_patch()
    ]
