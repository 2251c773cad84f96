"""Findings about a NIC to plug into the guest: its state, and what blocks it."""

from collections.abc import Mapping
from dataclasses import replace

from nicplug.model.interface_status import MULTUS_STATUS, has_source
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, Binding, Interface
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType, shortened
from nicplug.model.per_pass import once_per_pass
from nicplug.plan.checks import first_result
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.nic.change import CHANGE_CHECKS, pod_has_it_again, pod_has_lost_it
from nicplug.plan.nic.findings import (
    Check,
    Finding,
    Situation,
    annotation_is_unreadable,
    api_server_refuses,
    gate_is_off,
    network_status_is_unreadable,
    plug_is_staged,
)
from nicplug.plan.nic.path_findings import migration_brings_it, path_is_chosen, settled_by, was_rolled_back
from nicplug.plan.nic.phantoms import PhantomState
from nicplug.plan.nic.spec_checks import Violation, find_violations, mac_address_twin, refuse
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView

_NO_LONGER_ADMITTED = frozenset({Binding.SLIRP, Binding.MACVTAP, Binding.OLD_PASST})
_PHANTOM = (
    ". It was asked for together with a NIC that failed, so the controller may have taken it back: if the guest does "
    "not get it, it is detached and requested again"
)


def find_plug(situation: Situation) -> Finding | None:
    """Find the state of a NIC to plug; None for one that the guest started with."""
    if not situation.in_guest:
        return first_result(PLUG_CHECKS, situation)
    changed = first_result(CHANGE_CHECKS, situation)
    # A link needs the interface; the migration for another network provides that, too.
    waits = changed is not None and changed.phase is not OperationPhase.READY
    if changed is not None and waits and changed.operation is OperationType.CHANGE_NETWORK:
        return changed
    if found := pod_has_lost_it(situation) or changed or pod_has_it_again(situation):
        return found
    plugged = _plugged_by(situation)
    if found := runs_until_restart(situation):
        return found
    if twin := mac_address_twin(situation.interface, situation.siblings):
        return _ready_beside(twin, situation, plugged)
    # A NIC that the guest started with has a record only because of another one with its MAC address.
    if plugged is None or plugged.path == OperationPath.NONE:
        return None
    by = f", by {plugged.migration}" if plugged.migration else ""
    message = f"{situation.network_phrase} is in the guest through {situation.pod_phrase}{by}"
    return _in_guest(plugged, Reason.ATTACHED, message)


def binding_cannot_follow(situation: Situation) -> Finding | None:
    """The binding cannot be hot-plugged: only bridge and SR-IOV can."""
    interface = situation.interface
    if interface.binding in HOTPLUGGABLE_BINDINGS:
        return None
    binding = f"of binding {interface.binding}" if interface.binding else "without a binding"
    if interface.plugin:
        binding = f'of binding plugin "{shortened(interface.plugin)}"'
    message, remedy = f"an interface {binding} cannot be plugged into a running VM", "Restart the VM, or use bridge"
    config, path = situation.view.config, OperationPath.RESTART
    if situation.network is not None and situation.network.is_primary:
        remedy = "Restart the VM"
    if interface.binding in _NO_LONGER_ADMITTED or not interface.binding:
        # No advice to restart: the VM would not be admitted again.
        path, remedy = OperationPath.NONE, "Use bridge"
    if interface.plugin and (config is None or interface.plugin not in config.binding_plugins):
        # No advice to restart: the VM would not start.
        path = OperationPath.NONE
        message = (
            f"an interface {binding} cannot be plugged into a running VM, and no VM starts with it, as the plugin is "
            "not registered in spec.configuration.network.binding of the KubeVirt CR"
        )
        remedy = "Use bridge, or have it registered"
    return situation.finding(path, OperationPhase.BLOCKED, Reason.BINDING_NEEDS_RESTART, message, remedy)


def nic_is_invalid(situation: Situation) -> Finding | None:
    """Find invalid entries of the NIC, which is not requested from the pod."""
    refusal = refuse(situation.interface, situation.network)
    return situation.blocked(refusal) if refusal is not None else None


def runs_until_restart(situation: Situation) -> Finding | None:
    """Find a NIC in the guest that would be rejected now; the record warns before a restart."""
    violation, came = _violation(situation), _plugged_by(situation)
    if violation is None or not situation.in_guest:
        return None
    message = f"the guest has the NIC, and does not start again with it: {violation.at(_root(situation))}"
    return _in_guest(came, Reason.NOT_ADMITTED, message, violation.remedy)


def is_not_admitted(situation: Situation) -> Finding | None:
    """Find a spec that is not admitted: the VM would not start after a restart."""
    violation = _violation(situation)
    if violation is None:
        return None
    message = f"{violation.at(_root(situation))}. No VM starts with it"
    return situation.finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason.NOT_ADMITTED, message, violation.remedy)


def _root(situation: Situation) -> str:
    return "spec.template.spec" if situation.view.vm is not None else "spec"


def _violation(situation: Situation) -> Violation | None:
    return _violations(situation.view).get(situation.interface.name)


@once_per_pass
def _violations(view: VmiView) -> Mapping[str, Violation]:
    """Violations in what the VM would start with (its template, or the instance if there is no VM), by NIC."""
    owner = view.vm if view.vm is not None else view.vmi
    found = find_violations(owner.interfaces, owner.networks, config=view.config, held=view.vmi.status.in_guest)
    return {item.nic: item for item in reversed(list(found))}


def network_is_not_secondary(situation: Situation) -> Finding | None:
    """Find a primary network, which a pod gets only on creation."""
    if situation.network is None or situation.network.is_secondary:
        return None
    message = "only secondary (Multus) networks can be plugged into a running VM"
    return situation.needs_restart(Reason.NETWORK_NEEDS_RESTART, message)


def guest_has_no_slot(situation: Situation) -> Finding | None:
    """Find a missing PCI slot, which no pod can provide."""
    chosen = situation.choose()
    return settled_by(chosen) if chosen.choice.reason is Reason.NO_PCI_SLOT else None


def pod_has_it(situation: Situation) -> Finding | None:
    """Find that the pod has the interface; the node agent plugs it next."""
    if not has_source(situation.row, MULTUS_STATUS):
        return None
    migration, name = situation.arrived_with, situation.interface.name
    phantom = situation.chooser.phantoms.get(name)
    if phantom is not None and phantom.state is not PhantomState.SUSPECTED:
        return None  # it is plugged again, by whatever path
    doubt = _PHANTOM if phantom is not None else situation.chooser.slots.doubt(name)
    return replace(
        situation.finding(
            OperationPath.MIGRATION if migration else OperationPath.DYNAMIC,
            OperationPhase.IN_POD,
            Reason.WAITING_FOR_GUEST,
            f"{situation.pod_phrase} has the interface; waiting for the node agent to plug it into the guest{doubt}",
        ),
        migration=migration,
        again_at=phantom.withdrawn_at if phantom is not None else None,
    )


def pod_must_not_be_asked(situation: Situation) -> Finding | None:
    """Find a network whose element the annotation withholds: it cannot be attached, or there is no room for it."""
    refusal = situation.annotation.withheld.get(situation.interface.name)
    return situation.blocked(refusal) if refusal is not None else None


def network_cannot_be_attached(situation: Situation) -> Finding | None:
    """Find a network that cannot be attached and that no annotation requests, such as one of SR-IOV."""
    network, view = situation.network, situation.view
    if network is None:
        return None
    refusal = refuse_attachment(network, namespace=view.vmi.key.namespace, known=view.attachments)
    return situation.blocked(refusal) if refusal is not None else None


def pod_is_not_asked_yet(situation: Situation) -> Finding | None:
    """Find a NIC without errors whose pod is not asked yet: it is not ready, or only the template has the NIC."""
    if situation.annotation.is_made and situation.is_in_spec:
        return None
    message = f"{situation.pod_phrase} is not ready; it is asked for the interface when it is"
    if situation.annotation.is_made:
        message = "the VM's template has it, and the running instance gets it next"
    return situation.finding(OperationPath.DYNAMIC, OperationPhase.PENDING, Reason.WAITING_FOR_LAUNCHER_POD, message)


def _plugged_by(situation: Situation) -> InterfaceOperation | None:
    """The record of how the NIC was plugged into the running guest; None for one that the guest started with.

    A change of its network or its entries replaces that record. If the change is abandoned, the definition by which the
    NIC was attached must be kept: changes of it would not be detected otherwise.
    """
    record, pod = situation.record, situation.pod
    if record is None or record.operation == OperationType.PLUG:
        return record
    if pod is None or record.attached is None or record.attached.pod != pod.uid:
        return None
    return replace(record, operation=OperationType.PLUG, path=OperationPath.DYNAMIC, migration="")


def _in_guest(record: InterfaceOperation | None, reason: Reason, message: str, remedy: str = "") -> Finding:
    """The finding about a NIC that the guest has.

    Args:
        record: of its plug; None if the guest started with it.
    """
    return Finding(
        operation=OperationType.PLUG,
        path=OperationPath(record.path) if record is not None else OperationPath.NONE,
        phase=OperationPhase.READY,
        reason=reason,
        message=message,
        remedy=remedy,
        migration=record.migration if record is not None else "",
    )


def _ready_beside(twin: Interface, situation: Situation, record: InterfaceOperation | None) -> Finding:
    """Report another NIC with the same MAC address. Whether that matters depends on the networks: the owner decides."""
    mac, name = situation.interface.mac_address, shortened(twin.name)
    message = f'the guest has the NIC, and its macAddress "{mac}" is that of NIC "{name}" too'
    remedy = "Change one of the two if their networks are connected"
    return _in_guest(record, Reason.DUPLICATE_MAC_ADDRESS, message, remedy)


PLUG_CHECKS: tuple[Check, ...] = (
    gate_is_off,
    nic_is_invalid,
    is_not_admitted,
    binding_cannot_follow,
    network_is_not_secondary,
    plug_is_staged,
    annotation_is_unreadable,
    api_server_refuses,
    pod_must_not_be_asked,
    guest_has_no_slot,
    pod_has_it,
    was_rolled_back,
    network_cannot_be_attached,
    migration_brings_it,
    network_status_is_unreadable,
    pod_is_not_asked_yet,
    path_is_chosen,
)
