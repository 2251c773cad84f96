"""What virt-controller still has to ask a pod for: beside KubeVirt, no wait for a controller begins before that."""

from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, Binding, first_by_name
from nicplug.model.networks_annotation import is_ordinal_name
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.observed import elements_asked_for, interface_names

_BINDINGS = HOTPLUGGABLE_BINDINGS - {Binding.SRIOV}


@once_per_pass
def unasked_nics(vmi: VirtualMachineInstance, pod: LauncherPod) -> frozenset[str]:
    """Return the NICs that virt-controller asks the pod to attach or detach, and has not yet.

    A NIC with a row is none of them: virt-controller never asks for it again. Nor does it detach one from a pod with
    ordinal names.

    Source: KubeVirt 1.9, `pkg/network/pod/annotations`.
    """
    if not pod.is_ready:
        return frozenset()
    asked, rows, networks = elements_asked_for(pod), vmi.status.interfaces, first_by_name(vmi.networks)
    names = interface_names(vmi, pod)
    return frozenset(
        item.name
        for item in vmi.interfaces
        if item.binding in _BINDINGS
        and item.name in networks
        and networks[item.name].is_secondary
        and (not is_ordinal_name(names[item.name]) if item.is_absent else item.name not in rows)
        and item.is_absent is (names[item.name] in asked)
    )
