"""Takes over a VMI of the VM's name that nobody controls, such as one whose VM was deleted with `--cascade=orphan`.

Source: KubeVirt 1.9 `pkg/controller/controller_ref_manager.go` (`ClaimVirtualMachineInstanceByName`): the name is all
that has to match; neither the VM nor the VMI is being deleted, and another controller's VMI is never touched. Before
the patch it asks the API server for the VM once more, since a VMI that loses its owner may do so because that very VM
is being deleted: adopted once more, it would be deleted with it.
"""

from nicplug.model.names import KUBEVIRT_API_VERSION, VM_FINALIZER, VM_KIND
from nicplug.model.vm import VirtualMachine
from nicplug.plan.actions import Action, AdoptVmi, CheckUnchanged, Kind, OwnerReference, PatchFinalizers
from nicplug.plan.views import VmView


def adopt_vmi(view: VmView) -> tuple[Action, ...]:
    """The patches by which a VM that is to stay takes the VMI over; none when there is none, or that was refused.

    The VM's finalizer first: with it the VM stays until this planner has seen its end, and does not leave the VMI with
    an owner that is gone.
    """
    vm, vmi = view.vm, view.vmi
    if vmi is None or vmi.owner is not None or vmi.deleting or view.refusal is not None:
        return ()
    if VM_FINALIZER not in vm.finalizers:
        wanted = (*vm.finalizers, VM_FINALIZER)
        return (PatchFinalizers(kind=Kind.VM, key=vm.key, uid=vm.uid, seen=vm.finalizers, wanted=wanted),)
    adoption = AdoptVmi(
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        owner=_reference(vm),
        has_owners=vmi.has_owners,
        finalizer="" if VM_FINALIZER in vmi.finalizers else VM_FINALIZER,
        has_finalizers=bool(vmi.finalizers),
    )
    return (CheckUnchanged(kind=Kind.VM, key=vm.key, uid=vm.uid, version=vm.resource_version), adoption)


def _reference(vm: VirtualMachine) -> OwnerReference:
    return OwnerReference(api_version=KUBEVIRT_API_VERSION, kind=VM_KIND, name=vm.key.name, uid=vm.uid)
