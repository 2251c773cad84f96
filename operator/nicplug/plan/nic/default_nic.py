"""The NIC on the pod network that a VM starts with although its template lists no NIC. Pure.

Only a template without any NIC gets it. Anything that adds the first NIC to a template has to add this one too, or the
VM loses it at its next start.

Source: KubeVirt 1.9 `SetDefaultNetworkInterface`; KubeVirt 1.0.1 `handleDynamicInterfaceRequests` (kubevirt#10205).
"""

from dataclasses import replace

from nicplug.model.metadata import mapping
from nicplug.model.networks import Binding, first_by_name, parse_interface, parse_network
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance

DEFAULT_NIC = "default"
_BINDINGS = (Binding.BRIDGE, Binding.MASQUERADE)


def gets_default_nic(vm: VirtualMachine) -> bool:
    """True if the VM starts with a NIC that its template does not list."""
    if vm.interfaces or vm.networks:
        return False
    devices = mapping(mapping(mapping(vm.read_template().get("spec")).get("domain")).get("devices"))
    return devices.get("autoattachPodInterface") is not False


def with_default_nic(vm: VirtualMachine, *, vmi: VirtualMachineInstance | None, binding: Binding) -> VirtualMachine:
    """Return the VM with that NIC in the lists of its template; the VM itself if it gets none.

    Args:
        vmi: the VM's own; None if it does not run. Its NIC has the binding of the time when it was started. One that
            was started without the NIC shows that the VM gets none: a preference (`preferredAutoattachPodInterface`)
            may say so, which nicplug does not read.
        binding: that of the KubeVirt CR.
    """
    if not gets_default_nic(vm):
        return vm
    running = first_by_name(vmi.interfaces).get(DEFAULT_NIC) if vmi is not None else None
    if vmi is not None and running is None:
        return vm
    if running is not None and running.binding in _BINDINGS:
        binding = running.binding
    return replace(
        vm,
        interfaces=(parse_interface({"name": DEFAULT_NIC, str(binding): {}}),),
        networks=(parse_network({"name": DEFAULT_NIC, "pod": {}}),),
    )
