"""NICs that were rolled back (policy `onFailure: Rollback`), and how long that is valid."""

from collections.abc import Mapping

from nicplug.model.names import ROLLED_BACK_ANNOTATION
from nicplug.model.networks import Interface, Network, first_by_name, wanted_by_name
from nicplug.model.nic_annotations import entry_digest, render_rolled_back
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import PatchAnnotations, patch_annotation


def entry_of(name: str, owner: VirtualMachine | VirtualMachineInstance) -> tuple[Interface, Network] | None:
    """Both entries of a NIC in one object; None if one is missing, or the NIC is absent."""
    interface, network = wanted_by_name(owner.interfaces).get(name), first_by_name(owner.networks).get(name)
    return (interface, network) if interface is not None and network is not None else None


def is_rolled_back(name: str, *, vm: VirtualMachine | None, vmi: VirtualMachineInstance) -> bool:
    """True if it was rolled back, and its owner has not changed it since.

    Args:
        vm: its template has precedence; None if the VMI's own entries decide.
    """
    if name not in vmi.rolled_back:
        return False
    entry = entry_of(name, vm if vm is not None and _lists(vm, name) else vmi)  # as its owner wrote it
    return entry is not None and entry_digest(*entry) == vmi.rolled_back[name]


def rolled_back_from(*, vm: VirtualMachine, vmi: VirtualMachineInstance) -> frozenset[str]:
    """The NICs of a template that are not applied to the VMI, as they were rolled back."""
    return frozenset(name for name in vmi.rolled_back if _lists(vm, name) and is_rolled_back(name, vm=vm, vmi=vmi))


def standing_rollbacks(
    vmi: VirtualMachineInstance, *, vm: VirtualMachine | None, is_staged: bool = False
) -> dict[str, str]:
    """The desired content of the annotation.

    Args:
        is_staged: the template is not applied to the VMI, so the VMI's own entries count, too.
    """
    return {
        name: digest
        for name, digest in vmi.rolled_back.items()
        if is_rolled_back(name, vm=vm, vmi=vmi) or (is_staged and is_rolled_back(name, vm=None, vmi=vmi))
    }


def note_rolled_back(vmi: VirtualMachineInstance, wanted: Mapping[str, str]) -> PatchAnnotations | None:
    """Return the patch of the annotation; None if it is up to date, where an unreadable one counts as empty."""
    if wanted == vmi.rolled_back:
        return None
    return patch_annotation(vmi, ROLLED_BACK_ANNOTATION, render_rolled_back(wanted))


def _lists(vm: VirtualMachine, name: str) -> bool:
    return name in first_by_name(vm.interfaces)
