"""Where the VMI's next pod may run, carried from the template to a running VMI.

Source: KubeVirt 1.9 `vm.go` (`handleAffinityChangeRequest` and its siblings): with rollout strategy LiveUpdate the
template wins. The running pod stays where it is.
"""

from typing import Any

from nicplug.elided import aligned
from nicplug.model.frozen_json import freeze
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.metadata import mapping
from nicplug.model.placement import PLACEMENT_MEMBERS
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Kind, PatchSpec


def patch_placement(
    *, vm: VirtualMachine, vmi: VirtualMachineInstance, config: KubevirtConfig | None
) -> PatchSpec | None:
    """The guarded patch of the members that differ; None when none does, or when they wait for a restart."""
    if config is None or config.stages_changes or vm.placement == vmi.placement:
        return None
    template, running = mapping(vm.read_template().get("spec")), vmi.read_spec()
    changed = [member for member in PLACEMENT_MEMBERS if _differ(template.get(member), running.get(member))]
    if not changed:
        return None
    return PatchSpec(
        kind=Kind.VMI,
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        seen=freeze({member: running.get(member) for member in changed}),
        wanted=freeze({member: template.get(member) or None for member in changed}),
    )


def _differ(wanted: Any, running: Any) -> bool:
    one, other = aligned(wanted or None, running or None)
    return bool(one != other)
