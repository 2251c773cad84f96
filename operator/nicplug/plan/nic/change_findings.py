"""What is to change about a NIC that the guest has: its network, or its link.

Pure, and one NIC at a time. The template speaks for a NIC that is in it, for what has not reached the VMI must be
told too; the checks run in the order of `CHANGE_CHECKS`.
"""

from dataclasses import replace

from nicplug.model.metadata import text
from nicplug.model.networks import Interface, Network
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.findings import Check, Finding, Situation, api_server_refuses, first_finding, gate_is_off
from nicplug.plan.nic.live_rules import is_live_migratable, may_change_link
from nicplug.plan.reasons import Reason


def find_change(situation: Situation) -> Finding | None:
    """What is to be said of a NIC that is in the guest; None when it is there as it shall be."""
    return first_finding(CHANGE_CHECKS, situation)


def find_link_change(situation: Situation) -> Finding | None:
    """The same for a primary NIC, of which only the link changes live; None while it is not in the guest."""
    return link_differs(situation) if situation.in_guest else None


def network_has_changed(situation: Situation) -> Finding | None:
    """Another network is asked for than the pod has; its element is never rewritten under a guest."""
    mine, asked = situation.network, _network_asked_for(situation)
    if mine is None or asked is None:
        return None
    present = situation.annotation.attachments.get(situation.interface.name) or _reference(mine, situation)
    wanted = _reference(asked, situation)
    if present == wanted:
        return None
    differs = f"{situation.pod_phrase} has network {present}, the spec asks for {wanted}"
    migratable = is_live_migratable(situation.view.vmi)
    if migratable and (gate := gate_is_off(situation)):
        return replace(gate, operation=OperationType.CHANGE_NETWORK)
    if migratable:
        return Finding(
            operation=OperationType.CHANGE_NETWORK,
            path=OperationPath.MIGRATION,
            phase=OperationPhase.PENDING,
            reason=Reason.NETWORK_CHANGE_NEEDS_MIGRATION,
            message=f"{differs}: it comes when the VM next moves to another pod, and this version does not migrate "
            "by itself; to have it now, unplug the NIC and plug it again, or restart the VM",
        )
    return Finding(
        operation=OperationType.CHANGE_NETWORK,
        path=OperationPath.RESTART,
        phase=OperationPhase.BLOCKED,
        reason=Reason.NETWORK_CHANGE_NEEDS_RESTART,
        message=f"{differs}: unplug the NIC and plug it again, or restart the VM",
    )


def link_differs(situation: Situation) -> Finding | None:
    """The link is not as asked for, or has just become so; unknown while no node agent reports it."""
    link = _link_asked_for(situation)
    if not may_change_link(situation.interface):
        return _link_cannot_be_set() if link == "down" else None
    present = text((situation.row or {}).get("linkState"))
    if not present:
        return None
    if present == link:
        return _link_is_set(link) if _was_linking(situation) else None
    if blocked := first_finding((gate_is_off, api_server_refuses), situation):
        return replace(blocked, operation=OperationType.SET_LINK)
    message = f"waiting for the node agent on {situation.node_phrase} to set the link {link}"
    return _link_finding(OperationPath.DYNAMIC, OperationPhase.PENDING, Reason.WAITING_FOR_LINK, message)


CHANGE_CHECKS: tuple[Check, ...] = (network_has_changed, link_differs)


def _in_template(situation: Situation) -> Interface | None:
    vm = situation.view.vm
    items = vm.interfaces if vm is not None else ()
    return next((item for item in items if item.name == situation.interface.name), None)


def _network_asked_for(situation: Situation) -> Network | None:
    """The template's, when both are secondary; else the VMI's own."""
    vm, mine = situation.view.vm, situation.network
    items = vm.networks if vm is not None and _in_template(situation) is not None else ()
    asked = next((item for item in items if item.name == situation.interface.name and item.is_secondary), mine)
    return asked if mine is not None and mine.is_secondary else None


def _reference(network: Network, situation: Situation) -> str:
    return "/".join(network.attachment_reference(namespace=situation.view.vmi.key.namespace))


def _link_asked_for(situation: Situation) -> str:
    """`down` only if it says so: no state, and any that is not known, means up."""
    return "down" if (_in_template(situation) or situation.interface).state == "down" else "up"


def _was_linking(situation: Situation) -> bool:
    return situation.record is not None and situation.record.operation == OperationType.SET_LINK


def _link_is_set(link: str) -> Finding:
    message = f"its link is {link}"
    return _link_finding(OperationPath.DYNAMIC, OperationPhase.READY, Reason.LINK_SET, message)


def _link_cannot_be_set() -> Finding:
    message = 'the guest itself drives the link of an SR-IOV device: take "state: down" away, or unplug the NIC'
    return _link_finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason.LINK_STATE_NOT_SUPPORTED, message)


def _link_finding(path: OperationPath, phase: OperationPhase, reason: Reason, message: str) -> Finding:
    return Finding(operation=OperationType.SET_LINK, path=path, phase=phase, reason=reason, message=message)
