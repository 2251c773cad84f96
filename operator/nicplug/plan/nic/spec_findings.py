"""What is wrong with the lists of a spec as such, whatever a NIC is doing: two of a name, or a name in one list only.

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
    if situation.network is None or any(item.name == name for item in _interfaces(situation)):
        return None
    return situation.finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.NO_INTERFACE,
        f'spec.domain.devices.interfaces has no interface named "{name[:80]}": add it, or remove the network',
    )


def _interfaces(situation: Situation) -> tuple[Interface, ...]:
    vm = situation.view.vm
    return (*situation.view.vmi.interfaces, *(vm.interfaces if vm is not None else ()))


SPEC_CHECKS: tuple[Check, ...] = (name_is_doubled, interface_is_missing)
