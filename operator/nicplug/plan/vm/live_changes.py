"""Actions that transfer changes between the template of a VM and its running VMI."""

from nicplug.elided import aligned
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.metadata import mapping
from nicplug.model.names import VM_GENERATION_ANNOTATION
from nicplug.model.node import PLACEMENT_MEMBERS
from nicplug.model.revision import parse_generation
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import (
    Action,
    PatchAnnotations,
    PatchInterfaces,
    PatchSpec,
    check_nics,
    check_unchanged,
    patch_annotation,
    patch_members,
)
from nicplug.plan.nic.live_rules import deleted_from_template
from nicplug.plan.nic.rollback import note_rolled_back, standing_rollbacks
from nicplug.plan.nic.template_sync import patch_devices, patch_vmi, wanted_template_devices
from nicplug.plan.views import VmView

# Whether a VMI corresponds to the current generation of its VM.
#
# Source: KubeVirt 1.9 `vm.go` (`conditionallyBumpGenerationAnnotationOnVmi`,
# `patchVmGenerationFromControllerRevision`): a change of the VM that leaves the template as it was when the VMI was
# started, such as another run strategy, does not make the VMI outdated.


def bump_generation(view: VmView, vmi: VirtualMachineInstance) -> PatchAnnotations | None:
    """Return the annotation with the generation that the VMI corresponds to; None if it is up to date or unknown.

    Not before the status names the revision: until then only the annotation shows what the VMI was started from.
    """
    known, seen = view.revision, parse_generation(vmi.started_from_generation)
    if known is None or seen == view.vm.generation:
        return None
    if not vmi.status.start_revision:
        return None
    wanted = view.vm.generation if known.template == view.vm.template else seen or known.vm_generation
    if wanted == seen:
        return None
    return patch_annotation(vmi, VM_GENERATION_ANNOTATION, str(wanted))


# Where the VMI's next pod may run, copied from the template to a running VMI.
#
# Source: KubeVirt 1.9 `vm.go` (`handleAffinityChangeRequest` and its siblings): with rollout strategy LiveUpdate the
# template takes precedence. The running pod stays on its node.


def patch_placement(
    *, vm: VirtualMachine, vmi: VirtualMachineInstance, config: KubevirtConfig | None
) -> PatchSpec | None:
    """Return the guarded patch of the members that differ; None if none does, or if they wait for a restart."""
    if config is None or config.stages_changes or vm.placement == vmi.placement:
        return None
    template, running = mapping(vm.read_template().get("spec")), vmi.read_spec()
    pairs = {member: aligned(template.get(member) or None, running.get(member) or None) for member in PLACEMENT_MEMBERS}
    changed = [member for member, (wanted, present) in pairs.items() if wanted != present]
    if not changed:
        return None
    wanted = {member: template.get(member) or None for member in changed}
    return patch_members(PatchSpec, vmi, present=running, wanted=wanted, version=vmi.resource_version)


# Source: KubeVirt 1.9 `vm.go`. Unlike there (kubevirt#17328), NIC changes are only applied with rollout strategy
# LiveUpdate, like placement.


def live_changes(view: VmView, vmi: VirtualMachineInstance | None) -> list[Action]:
    """Return the patches of VMI and template; while the gate is off no NIC changes, and the VMI's record says why.

    With rollout strategy Stage the VMI gets none; what has left the VMI still leaves the template.
    """
    if view.refusal is not None or (vmi is not None and vmi.deleting):
        return []
    has_gate = view.config is not None and view.config.hotplug_enabled
    is_staged = view.config is not None and view.config.stages_changes
    is_live = has_gate and not is_staged
    actions: list[Action | None] = []
    tidy = patch_devices(view.vm, wanted_template_devices(vm=view.vm, vmi=vmi)) if vmi is None or has_gate else None
    if tidy is not None and vmi is not None:
        # Check first: a change of the VMI would make the check fail. The VMI may have the NIC that its owner wants
        # removed, by a write whose response was lost: without the owner's `absent` it would stay indefinitely.
        actions.append(check_nics(vmi))
    if vmi is not None and not vmi.is_final:
        actions.extend(with_check(view, vmi, patch_vmi(vm=view.vm, vmi=vmi, policy=view.policy)) if is_live else ())
        standing = standing_rollbacks(vmi, vm=view.vm, is_staged=is_staged) if has_gate else vmi.rolled_back
        actions.append(note_rolled_back(vmi, standing))
        actions.append(patch_placement(vm=view.vm, vmi=vmi, config=view.config))
        actions.append(bump_generation(view, vmi))
    actions.append(tidy)
    return [action for action in actions if action is not None]


def with_check(
    view: VmView, vmi: VirtualMachineInstance, patch: PatchInterfaces | PatchAnnotations | None
) -> list[Action]:
    """Return the patch of the VMI, after a check of the VM if it removes a NIC that the template lacks.

    A leader that has received the VMI's new NIC, which another leader added, but not yet the VM's would remove it
    again.
    """
    if patch is None:
        return []
    removes = deleted_from_template(vm=view.vm, vmi=vmi, policy=view.policy)
    return [check_unchanged(view.vm), patch] if removes else [patch]
