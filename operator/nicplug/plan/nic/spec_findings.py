"""What is wrong with the lists of a spec as such: two of a name, a name in one list only, or one that was deleted.

KubeVirt's admission refuses such objects; nicplug has no webhook, and meets them.
"""

from nicplug.model.networks import Interface
from nicplug.model.operations import OperationPath, OperationPhase
from nicplug.plan.nic.findings import Check, Finding, Situation
from nicplug.plan.reasons import Reason


def name_is_doubled(situation: Situation) -> Finding | None:
    """The first one is served: which of two was meant, nobody can tell."""
    name = situation.interface.name
    if sum(item.name == name for item in situation.view.vmi.interfaces) < 2:
        return None
    return situation.finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.DUPLICATE_NAME,
        f'two interfaces are named "{name[:80]}": the first is served, rename or remove the other',
    )


def interface_is_missing(situation: Situation) -> Finding | None:
    """A network that no interface names goes nowhere."""
    name = situation.interface.name
    vm, is_in_spec = situation.view.vm, any(item.name == name for item in situation.view.vmi.networks)
    of_template = vm.interfaces if vm is not None and not is_in_spec else ()
    known = (*_interfaces(situation), *of_template)
    if situation.network is None or any(item.name == name for item in known):
        return None
    interfaces = "domain.devices.interfaces"
    where = f"spec.{interfaces}" if is_in_spec else f"spec.template.spec.{interfaces} of the VM"
    lacks = f'{where} has no interface named "{name[:80]}"'
    if situation.in_guest:
        message = (
            f"the guest still has the NIC, and {lacks}: add it, with state: absent if the NIC is to leave the guest; "
            "or restart the VM"
        )
    else:
        message = f"{lacks}: add it, or remove the network"
    return situation.finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.NO_INTERFACE,
        message,
    )


def entry_was_deleted(situation: Situation) -> Finding | None:
    """Node agents take out of a guest what is absent, not what is missing: KubeVirt's never notices either."""
    name = situation.interface.name
    if not situation.in_guest or any(item.name == name for item in _interfaces(situation)):
        return None
    return situation.finding(
        OperationPath.RESTART,
        OperationPhase.BLOCKED,
        Reason.ENTRY_DELETED,
        f'the guest still has the NIC, as the entries of "{name[:80]}" were deleted without asking it to let go: '
        "write them back with state: absent, and they go when the NIC has left; or restart the VM",
    )


def _interfaces(situation: Situation) -> tuple[Interface, ...]:
    """Those that speak for a NIC: one that the template wants gone says nothing about what became of the VMI's."""
    vm = situation.view.vm
    wanted = (item for item in (vm.interfaces if vm is not None else ()) if not item.is_absent)
    return (*situation.view.vmi.interfaces, *wanted)


SPEC_CHECKS: tuple[Check, ...] = (name_is_doubled, interface_is_missing, entry_was_deleted)
