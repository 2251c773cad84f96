"""Interfaces of a launcher pod that nicplug once asked for, and that no NIC of the VMI has any more.

A leader that has not heard of it asks the pod for a NIC that another one has just withdrawn: no guard spans pod and
VMI. Or somebody deletes the entries of a NIC that its pod has and no guest. The element is taken out of the pod's
networks annotation at once (`plan.nic.annotation`). A dynamic networks controller that then fails to detach the
interface falls silent until the text changes, so the pod is asked again, as for any NIC that is to go. The record
bears the name of the pod interface: a hash does not tell which NIC it was made of.

Network-status is a claim. Only hashed names are nicplug's own, and only on networks that the VM may use. Whatever has
another name or network was put there by somebody else, who alone knows what it is for.
"""

from nicplug.model.interface_names import is_hashed_name
from nicplug.model.interface_status import DOMAIN, has_source
from nicplug.model.keys import AttachmentKey
from nicplug.model.metadata import text
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.networks import split_attachment
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.links import Rows, interface_names

# Those who may write network-status could fill the VMI's status with records. The others follow when these have gone.
_MOST = 8


@once_per_pass
def stray_interfaces(
    vmi: VirtualMachineInstance, pod: LauncherPod, rows: Rows, *, access: AttachmentAccess
) -> tuple[str, ...]:
    """Their names, whether or not the annotation still asks for them; nothing while network-status is silent.

    Args:
        rows: `status.interfaces` by name, as the node agent last reported: what the guest holds is no stray.
        access: by which a network that the VM may not use is recognised.
    """
    listed = [item for item in pod.network_status.entries if not item.is_default and is_hashed_name(item.interface)]
    wanted = set(interface_names(vmi, pod, rows).values())
    if all(item.interface in wanted for item in listed):
        return ()
    wanted |= {text(row.get("podInterfaceName")) for row in rows.values() if has_source(row, DOMAIN)}
    # Records are found by name: one of a NIC that is called so must not be taken for that of an interface.
    wanted |= {item.name for item in vmi.interfaces} | {item.name for item in vmi.networks}
    namespace = vmi.key.namespace
    found = dict.fromkeys(
        item.interface
        for item in listed
        if item.interface not in wanted
        and item.network
        and access.allows(AttachmentKey(*split_attachment(item.network, namespace=namespace)), namespace=namespace)
    )
    return tuple(found)[:_MOST]


def is_of_stray_interface(name: str, vmi: VirtualMachineInstance) -> bool:
    """The record of that name is of a pod interface, and not of a NIC of the VMI."""
    return is_hashed_name(name) and all(item.name != name for item in vmi.interfaces)
