"""Takes over a VMI of the VM's name that nobody controls, such as one whose VM was deleted with `--cascade=orphan`.

Source: KubeVirt 1.9 `pkg/controller/controller_ref_manager.go` (`ClaimVirtualMachineInstanceByName`): the name is all
that has to match; neither the VM nor the VMI is being deleted, and another controller's VMI is never touched. Before
the patch it asks the API server for the VM once more, since a VMI that loses its owner may do so because that very VM
is being deleted: adopted once more, it would be deleted with it.
"""

from nicplug.model.names import VM_FINALIZER
from nicplug.plan.actions import Action, AdoptVmi, CheckUnchanged, Kind, patch_finalizers
from nicplug.plan.views import VmView
from nicplug.plan.vm.start import controller


def adopt_vmi(view: VmView) -> tuple[Action, ...]:
    """The patches by which a VM that is to stay takes the VMI over; none when there is none, or that was refused.

    The VM's finalizer first: with it the VM stays until this planner has seen its end, and does not leave the VMI with
    an owner that is gone.
    """
    vm, vmi = view.vm, view.vmi
    if vmi is None or vmi.owner is not None or vmi.deleting or view.refusal is not None:
        return ()
    if VM_FINALIZER not in vm.finalizers:
        return (patch_finalizers(vm, (*vm.finalizers, VM_FINALIZER)),)
    adoption = AdoptVmi(
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        owner=controller(vm),
        has_owners=vmi.has_owners,
        finalizer="" if VM_FINALIZER in vmi.finalizers else VM_FINALIZER,
        has_finalizers=bool(vmi.finalizers),
    )
    return (CheckUnchanged(kind=Kind.VM, key=vm.key, uid=vm.uid, version=vm.resource_version), adoption)
