"""Reverts failed changes to the last working state (policy `onFailure: Rollback`).

The VM keeps what its owner wrote. One patch returns the VMI's spec to what the guest has, and records in an annotation
which NICs were rolled back: if the operator dies, either both or none has happened. The entries of a VMI without a VM,
and those that users added to the VMI alone, exist nowhere else: they stay, and only the annotation records that
nicplug has stopped trying.
"""

from collections.abc import Mapping

from nicplug.model.interface_status import pod_interface_of
from nicplug.model.names import VM_KIND
from nicplug.model.networks import Interface, Network, split_attachment
from nicplug.model.nic_annotations import entry_digest
from nicplug.model.operations import OperationType
from nicplug.model.pod import LauncherPod
from nicplug.plan.actions import PatchAnnotations, PatchInterfaces
from nicplug.plan.nic.observed import networks_asked_for
from nicplug.plan.nic.rollback import entry_of, note_rolled_back, standing_rollbacks
from nicplug.plan.nic.template_sync import Devices, origin_of_kept, patch_devices
from nicplug.plan.views import VmiView


def plan_roll_back(
    view: VmiView, *, pod: LauncherPod | None, rolled_back: Mapping[str, OperationType], in_pod: frozenset[str]
) -> PatchInterfaces | PatchAnnotations | None:
    """Return the patch that rolls back the failed NICs; None if nothing is left to roll back.

    Args:
        rolled_back: the NICs that are no longer tried, and the requested operation.
        in_pod: NICs that the pod has or is requested to attach: they are detached before they leave the spec.
    """
    vmi, vm = view.vmi, view.vm
    is_of_vm = vmi.owner is not None and vmi.owner.kind == VM_KIND
    if not view.hotplug_enabled or (is_of_vm and vm is None):
        return None  # the VM has not been observed yet, so what its owner wrote is unknown
    interfaces = {item.name: item for item in vmi.interfaces}
    networks = {item.name: item for item in vmi.networks}
    # For the VMI of a VM, obsolete rollbacks are dropped when the template changes (`plan.vm.live_changes`).
    digests = dict(vmi.rolled_back) if is_of_vm else standing_rollbacks(vmi, vm=None)
    if not view.keeps_rollbacks:
        digests = {}
    is_staged = view.config is not None and view.config.stages_changes
    for name, operation in rolled_back.items():
        mine, template = entry_of(name, vmi), entry_of(name, vm) if vm is not None else None
        present = _present(view, pod, name)
        is_change = mine is not None and operation is OperationType.CHANGE_NETWORK
        if is_change and mine is not None and present == mine[1].reference(namespace=vmi.key.namespace):
            continue  # only the template requests it: it was rolled back, and the guest has what the VMI specifies
        is_same = mine is not None and template is not None and _is_same(mine, template)
        # What a user wrote on the VMI itself is stored nowhere else.
        is_own = is_staged and not is_same and name not in (vmi.template_interfaces or ())
        if template is None or is_own:
            digests |= {name: entry_digest(*mine)} if mine is not None else {}
            continue
        if mine is None or not (is_same or is_staged) or (operation is OperationType.PLUG and name in in_pod):
            continue
        _revert(name, operation, interfaces=interfaces, networks=networks, present=_as_written(present, view))
        if is_same:  # else what the template asks for now has not been tried: it waits for a restart, or for LiveUpdate
            digests[name] = entry_digest(*template)
    kept = tuple(interfaces.values())
    wanted = Devices(kept, tuple(networks.values()))
    note = note_rolled_back(vmi, digests)
    return patch_devices(vmi, wanted, origin=origin_of_kept(vmi, kept), rolled_back=note) or note


def _is_same(mine: tuple[Interface, Network], template: tuple[Interface, Network]) -> bool:
    """True if the failed entries are those of the present template, not of an earlier one."""
    (my_interface, my_network), (interface, network) = mine, template
    return my_interface.with_state("") == interface.with_state("") and my_network.raw == network.raw


def _revert(
    name: str,
    operation: OperationType,
    *,
    interfaces: dict[str, Interface],
    networks: dict[str, Network],
    present: str,
) -> None:
    if operation is OperationType.PLUG:
        del interfaces[name], networks[name]
    elif present:
        networks[name] = networks[name].with_attachment(present)


def _present(view: VmiView, pod: LauncherPod | None, name: str) -> str:
    """The network that the guest's NIC is attached to, `<namespace>/<definition>`; "" if unknown."""
    namespace = view.vmi.key.namespace
    asked = networks_asked_for(pod, namespace=namespace) if pod is not None else {}
    return asked.get(pod_interface_of(view.vmi.status.interfaces.get(name)), "")


def _as_written(reference: str, view: VmiView) -> str:
    """The reference as it is written in a spec: without the VMI's own namespace."""
    namespace = view.vmi.key.namespace
    where, attachment = split_attachment(reference, namespace=namespace)
    return attachment if where == namespace else reference
