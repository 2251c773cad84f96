"""What is wrong with the lists of a spec as such: two of a name, a name in one list only, or one that was deleted.

KubeVirt's admission refuses such objects; nicplug has no webhook, and meets them.
"""

from collections import Counter
from collections.abc import Mapping

from nicplug.model.networks import first_by_name, wanted_by_name
from nicplug.model.operations import OperationPath, OperationPhase
from nicplug.model.per_pass import once_per_pass
from nicplug.model.sentences import shortened
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.findings import Check, Finding, Situation
from nicplug.plan.reasons import Reason


def name_is_doubled(situation: Situation) -> Finding | None:
    """The first one is served: which of two was meant, nobody can tell."""
    name = situation.interface.name
    if _name_counts(situation.view.vmi)[name] < 2:
        return None
    return situation.finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.DUPLICATE_NAME,
        f'two interfaces are named "{shortened(name)}": the first is served',
        "Rename or remove the other",
    )


def interface_is_missing(situation: Situation) -> Finding | None:
    """A network that no interface names goes nowhere."""
    name = situation.interface.name
    vm, is_in_spec = situation.view.vm, name in first_by_name(situation.view.vmi.networks)
    is_in_template = vm is not None and not is_in_spec and name in first_by_name(vm.interfaces)
    if situation.network is None or _has_interface(situation) or is_in_template:
        return None
    interfaces = "domain.devices.interfaces"
    where = f"spec.{interfaces}" if is_in_spec else f"spec.template.spec.{interfaces} of the VM"
    lacks = f'{where} has no interface named "{shortened(name)}"'
    if situation.in_guest:
        message = f"the guest still has the NIC, and {lacks}"
        remedy = "Add it, with state: absent if the NIC is to leave; or remove the network, and restart the VM"
    else:
        message, remedy = lacks, "Add it, or remove the network"
    return situation.finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason.NO_INTERFACE, message, remedy)


def entry_was_deleted(situation: Situation) -> Finding | None:
    """Node agents take out of a guest what is absent, not what is missing: KubeVirt's never notices either."""
    name = situation.interface.name
    if not situation.in_guest or _has_interface(situation):
        return None
    return situation.finding(
        OperationPath.RESTART,
        OperationPhase.BLOCKED,
        Reason.ENTRY_DELETED,
        f'the guest still has the NIC, as the entries of "{shortened(name)}" were deleted without asking it to let go',
        "Write them back with state: absent, and they go when the NIC has left; or restart the VM",
    )


def _has_interface(situation: Situation) -> bool:
    """One that the template wants gone says nothing about what became of the VMI's."""
    vm, name = situation.view.vm, situation.interface.name
    return name in first_by_name(situation.view.vmi.interfaces) or (
        vm is not None and name in wanted_by_name(vm.interfaces)
    )


@once_per_pass
def _name_counts(vmi: VirtualMachineInstance) -> Mapping[str, int]:
    return Counter(item.name for item in vmi.interfaces)


SPEC_CHECKS: tuple[Check, ...] = (name_is_doubled, interface_is_missing, entry_was_deleted)
