"""What the next restart of a VM does to the NICs of its running guest. Pure."""

from collections.abc import Mapping

from nicplug.model.conditions import RESTART_REQUIRED
from nicplug.model.networks import first_by_name
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance


def restart_required(vm: VirtualMachine | None) -> str:
    """Return the message of the condition RestartRequired; "" if the VM does not have it."""
    if vm is None or not vm.status.is_true(RESTART_REQUIRED):
        return ""
    return vm.status.condition(RESTART_REQUIRED).message or "the message is empty"


def lost_at_restart(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> tuple[str, ...]:
    """Return the NICs of the running guest that the next one does not have, since they are not in the template.

    Omits NICs that are already leaving, and the pod network that a template without NICs gets at every start.
    """
    if vm is None or vmi is None:
        return ()
    kept = {item.name for item in vm.interfaces if not item.is_absent}
    networks = first_by_name(vmi.networks)
    lost = []
    for item in vmi.interfaces:
        network = networks.get(item.name)
        is_given = not vm.interfaces and network is not None and network.is_pod
        if not (item.name in kept or item.is_absent or is_given):
            lost.append(item.name)
    return tuple(lost)


def restart_effects(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> Mapping[str, str]:
    """Return a sentence for each NIC that the next restart removes, by name."""
    from_template = (vmi.template_interfaces if vmi is not None else None) or frozenset()
    is_required = bool(restart_required(vm))
    return {
        name: "RestartRequired: the NIC was removed from the VM's template; the next restart removes it from the guest"
        if is_required and name in from_template
        else "the VM's template does not have this NIC: the next restart removes it from the guest"
        for name in lost_at_restart(vm, vmi)
    }
