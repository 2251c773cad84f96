"""Takes back what could not be brought about, down to what works (policy `onFailure: Rollback`).

The VM keeps what its owner wrote; the VMI's spec returns to what the guest has, and says in an annotation which NIC was
rolled back, in one patch: whenever the operator dies, either nothing has happened or everything. The entries of a VMI
without a VM, and those that somebody wrote on the VMI beside its VM's, are their owner's own words: they stay, and only
the annotation says that nothing more is done for them.
"""

from collections.abc import Mapping

from nicplug.model.metadata import text
from nicplug.model.names import VM_KIND
from nicplug.model.networks import Interface, Network, split_attachment
from nicplug.model.nic_annotations import entry_digest
from nicplug.model.operations import OperationType
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import reported_rows
from nicplug.plan.actions import PatchAnnotations, PatchInterfaces
from nicplug.plan.nic.observed import networks_asked_for
from nicplug.plan.nic.rollback import entry_of, note_rolled_back, standing_rollbacks
from nicplug.plan.nic.template_sync import Devices, origin_of_kept, patch_devices
from nicplug.plan.views import VmiView


def plan_roll_back(
    view: VmiView, *, pod: LauncherPod | None, rolled_back: Mapping[str, OperationType], in_pod: frozenset[str]
) -> PatchInterfaces | PatchAnnotations | None:
    """The patch that takes back what is to be; None when it has been.

    Args:
        rolled_back: the NICs for which nothing more is tried, and what was asked for.
        in_pod: NICs that the pod has or is asked for: they are detached before they are forgotten.
    """
    vmi, vm = view.vmi, view.vm
    is_of_vm = vmi.owner is not None and vmi.owner.kind == VM_KIND
    if not view.hotplug_enabled or (is_of_vm and vm is None):
        return None  # a VM that is not in sight yet: nobody knows what its owner wrote
    interfaces = {item.name: item for item in vmi.interfaces}
    networks = {item.name: item for item in vmi.networks}
    # Of a VM's own, what no longer stands is forgotten with its template's changes (`plan.vm.live_changes`).
    digests = dict(vmi.rolled_back) if is_of_vm else standing_rollbacks(vmi, vm=None)
    if not view.keeps_rollbacks:
        digests = {}
    is_staged = view.config is not None and view.config.stages_changes
    for name, operation in rolled_back.items():
        mine, template = entry_of(name, vmi), entry_of(name, vm) if vm is not None else None
        present = _present(view, pod, name)
        if mine is not None and operation is OperationType.CHANGE_NETWORK and _is_on(present, mine[1], view):
            continue  # what the template alone asks for was rolled back before; the guest has what the VMI says
        is_same = mine is not None and template is not None and _is_same(mine, template)
        # What somebody wrote on the instance itself is written nowhere else.
        is_own = is_staged and not is_same and name not in (vmi.template_interfaces or ())
        if template is None or is_own:
            digests |= {name: entry_digest(*mine)} if mine is not None else {}
            continue
        if mine is None or not (is_same or is_staged) or (operation is OperationType.PLUG and name in in_pod):
            continue
        _take_back(name, operation, interfaces=interfaces, networks=networks, present=_as_written(present, view))
        if is_same:  # else what the template asks for now has not been tried: it waits for a restart, or for LiveUpdate
            digests[name] = entry_digest(*template)
    kept = tuple(interfaces.values())
    wanted = Devices(kept, tuple(networks.values()))
    note = note_rolled_back(vmi, digests)
    return patch_devices(vmi, wanted, origin=origin_of_kept(vmi, kept), rolled_back=note) or note


def _is_same(mine: tuple[Interface, Network], template: tuple[Interface, Network]) -> bool:
    """What has failed is what the template asks for, not what it asked for before."""
    (my_interface, my_network), (interface, network) = mine, template
    return my_interface.with_state("") == interface.with_state("") and my_network.raw == network.raw


def _take_back(
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
    """The network that the guest has by that NIC, `<namespace>/<definition>`; "" when nobody can tell."""
    namespace = view.vmi.key.namespace
    row = reported_rows(view.vmi).get(name, {})
    asked = networks_asked_for(pod, namespace=namespace) if pod is not None else {}
    return asked.get(text(row.get("podInterfaceName")), "")


def _is_on(reference: str, network: Network, view: VmiView) -> bool:
    return reference == "/".join(network.attachment_reference(namespace=view.vmi.key.namespace))


def _as_written(reference: str, view: VmiView) -> str:
    """As it is written in a spec."""
    namespace = view.vmi.key.namespace
    where, attachment = split_attachment(reference, namespace=namespace)
    return attachment if where == namespace else reference
