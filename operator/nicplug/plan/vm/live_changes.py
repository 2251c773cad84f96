"""What flows between the template of a VM and its running VMI, as actions.

Source: KubeVirt 1.9 `vm.go`. Unlike there (kubevirt#17328), NIC changes flow only with rollout strategy LiveUpdate, as
placement does.
"""

from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, CheckUnchanged, Kind
from nicplug.plan.nic.check_nics import check_nics
from nicplug.plan.nic.live_rules import deleted_from_template
from nicplug.plan.nic.rolled_back import note_rolled_back, standing_rollbacks
from nicplug.plan.nic.template_sync import patch_devices, patch_vmi, wanted_template_devices
from nicplug.plan.views import VmView
from nicplug.plan.vm.generation import bump_generation
from nicplug.plan.vm.placement import patch_placement


def live_changes(view: VmView, vmi: VirtualMachineInstance | None) -> list[Action]:
    """The patches of VMI and template; while the gate is off no NIC moves, and the VMI's record says why.

    With rollout strategy Stage none is taken to the VMI; what has left it, leaves the template all the same.

    Args:
        vmi: the VM's own; None when it has none.
    """
    if view.refusal is not None or (vmi is not None and vmi.deleting):
        return []
    has_gate = view.config is not None and view.config.hotplug_enabled
    is_staged = view.config is not None and view.config.stages_changes
    is_live = has_gate and not is_staged
    actions: list[Action | None] = []
    tidy = patch_devices(view.vm, wanted_template_devices(vm=view.vm, vmi=vmi)) if vmi is None or has_gate else None
    if tidy is not None and vmi is not None:
        # First, as a change of the VMI would fail it. The VMI may have the NIC that its owner wants gone, by a write
        # whose answer was lost: without his `absent` it would stay for ever.
        actions.append(check_nics(vmi))
    if vmi is not None and not vmi.is_final:
        actions.extend(_flow(view, vmi) if is_live else ())
        standing = standing_rollbacks(vmi, vm=view.vm, is_staged=is_staged) if has_gate else vmi.rolled_back
        actions.append(note_rolled_back(vmi, standing))
        actions.append(patch_placement(vm=view.vm, vmi=vmi, config=view.config))
        actions.append(bump_generation(view, vmi))
    actions.append(tidy)
    return [action for action in actions if action is not None]


def _flow(view: VmView, vmi: VirtualMachineInstance) -> list[Action]:
    """What goes to the VMI; before a NIC goes that the template lacks, a look at the VM.

    Whoever has heard of the VMI's new NIC, which another leader has given it, and not yet of the VM's, would take it
    out again.
    """
    vm, patch = view.vm, patch_vmi(vm=view.vm, vmi=vmi, policy=view.policy)
    if patch is None:
        return []
    if deleted_from_template(vm=vm, vmi=vmi, policy=view.policy):
        return [CheckUnchanged(kind=Kind.VM, key=vm.key, uid=vm.uid, version=vm.resource_version), patch]
    return [patch]
