"""What is to change about a NIC that the guest has: its network, or its link.

Pure, and one NIC at a time. The template speaks for a NIC that is in it, for what has not reached the VMI must be
told too; the checks run in the order of `CHANGE_CHECKS`.
"""

from dataclasses import replace

from nicplug.model.metadata import text
from nicplug.model.networks import KNOWN_STATES, Interface, Network, first_by_name, secondary_by_name
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.nic.findings import Check, Finding, Situation, api_server_refuses, first_finding, gate_is_off
from nicplug.plan.nic.links import networks_asked_for
from nicplug.plan.nic.live_rules import is_live_migratable, link_of, may_change_link
from nicplug.plan.nic.path_findings import find_migration, settled_by
from nicplug.plan.nic.staged_findings import keeps_from_vmi, staged
from nicplug.plan.reasons import Reason


def find_change(situation: Situation) -> Finding | None:
    """What is to be said of a NIC that is in the guest; None when it is there as it shall be."""
    return first_finding(CHANGE_CHECKS, situation)


def find_link_change(situation: Situation) -> Finding | None:
    """The same for a primary NIC, of which only the link changes live; None while it is not in the guest."""
    return first_finding(LINK_CHECKS, situation) if situation.in_guest else None


def network_has_changed(situation: Situation) -> Finding | None:
    """Another network is asked for than the pod has; its element is never rewritten under a guest."""
    mine, asked = situation.network, _network_asked_for(situation)
    if mine is None or asked is None:
        return None
    wanted, own = _reference(asked, situation), _reference(mine, situation)
    present = _present(situation) or own
    if wanted != own and keeps_from_vmi(situation):
        if present == own:
            return staged(situation, OperationType.CHANGE_NETWORK, f"network {wanted}")
        asked, wanted = mine, own
    if present == wanted:
        return _network_is_changed(situation)
    if is_live_migratable(situation.view.vmi) and (blocked := first_finding(_BEFORE_A_CHANGE, situation)):
        return replace(blocked, operation=OperationType.CHANGE_NETWORK)
    if refusal := refuse_attachment(
        asked, namespace=situation.view.vmi.key.namespace, known=situation.view.attachments
    ):
        return Finding(
            operation=OperationType.CHANGE_NETWORK,
            path=OperationPath.NONE,
            phase=OperationPhase.BLOCKED,
            reason=Reason(refusal.reason),
            message=refusal.message,
            remedy=refusal.remedy,
        )
    return _told(_change_by_migration(situation, asked, wanted), present=present, wanted=wanted, situation=situation)


def _change_by_migration(situation: Situation, asked: Network, wanted: str) -> Finding:
    operation = OperationType.CHANGE_NETWORK
    chosen = situation.chooser.choose(operation=operation, interface=situation.interface, network=asked)
    found = find_migration(situation, chosen, operation=operation, network=wanted) or settled_by(chosen)
    is_in_spec = situation.reference == wanted
    return found if is_in_spec else replace(found, wants_migration=False)


def _told(finding: Finding, *, present: str, wanted: str, situation: Situation) -> Finding:
    differs = f"{situation.pod_phrase} has network {present}, the spec asks for {wanted}"
    return replace(finding, message=f"{differs}; {finding.message}")


def _network_is_changed(situation: Situation) -> Finding | None:
    """It came with its migration; a change that was taken back before has no end to tell."""
    record = situation.record
    if record is None or record.operation != OperationType.CHANGE_NETWORK:
        return None
    migration = situation.arrived_with
    if not migration:
        return None
    return Finding(
        operation=OperationType.CHANGE_NETWORK,
        path=OperationPath.MIGRATION,
        phase=OperationPhase.READY,
        reason=Reason.ATTACHED,
        message=f"it is on {situation.network_phrase} through {situation.pod_phrase}, by {migration}",
        migration=migration,
    )


def state_is_unknown(situation: Situation) -> Finding | None:
    """It counts as up, so the NIC is served; but what was meant is not what is.

    A flaw of its link: the NIC is in the guest, whether it was plugged or born there.
    """
    state = _interface_asked_for(situation).state
    if state in KNOWN_STATES:
        return None
    message = f"logical {situation.interface.name} interface state value is unsupported: {state[:40]}. "
    message += "It counts as up"
    remedy = "Write up, down or absent, or leave it out"
    return _link_finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason.INVALID_STATE, message, remedy)


def link_differs(situation: Situation) -> Finding | None:
    """The link is not as asked for, or has just become so; unknown while no node agent reports it."""
    link, own = link_of(_interface_asked_for(situation)), link_of(situation.interface)
    if not may_change_link(situation.interface):
        return _link_cannot_be_set() if link == "down" else None
    present = text((situation.row or {}).get("linkState"))
    if link != own and keeps_from_vmi(situation):
        if present in ("", own):
            return staged(situation, OperationType.SET_LINK, f"link {link}")
        link = own
    if not present:
        return None
    if present == link:
        return _link_is_set(link) if _was_linking(situation) else None
    if blocked := first_finding(_BEFORE_A_CHANGE, situation):
        return replace(blocked, operation=OperationType.SET_LINK)
    journey = situation.journey
    later = f"; {journey.name} migrates the VM, which comes first" if journey is not None and journey.leaves_pod else ""
    message = f"waiting for the node agent on {situation.node_phrase} to set the link {link}{later}"
    return _link_finding(OperationPath.DYNAMIC, OperationPhase.PENDING, Reason.WAITING_FOR_LINK, message)


_BEFORE_A_CHANGE: tuple[Check, ...] = (gate_is_off, api_server_refuses)
LINK_CHECKS: tuple[Check, ...] = (state_is_unknown, link_differs)
CHANGE_CHECKS: tuple[Check, ...] = (network_has_changed, *LINK_CHECKS)


def _in_template(situation: Situation) -> Interface | None:
    vm = situation.view.vm
    return first_by_name(vm.interfaces).get(situation.interface.name) if vm is not None else None


def _network_asked_for(situation: Situation) -> Network | None:
    """The template's, when both are secondary; else the VMI's own."""
    vm, mine = situation.view.vm, situation.network
    if mine is None or not mine.is_secondary or vm is None or _in_template(situation) is None:
        return mine if mine is not None and mine.is_secondary else None
    return secondary_by_name(vm.networks).get(situation.interface.name, mine)


def _present(situation: Situation) -> str:
    """What the pod was asked for when the NIC came; "" when nobody can tell.

    Of an element that somebody took out network-status still has the network, until the controller detaches it.
    """
    pod, interface = situation.pod, text((situation.row or {}).get("podInterfaceName"))
    if pod is None:
        return ""
    asked = networks_asked_for(pod, namespace=situation.view.vmi.key.namespace)
    return asked.get(interface) or pod.network_status.network_of(interface)


def _reference(network: Network, situation: Situation) -> str:
    return "/".join(network.attachment_reference(namespace=situation.view.vmi.key.namespace))


def _interface_asked_for(situation: Situation) -> Interface:
    return _in_template(situation) or situation.interface


def _was_linking(situation: Situation) -> bool:
    """A wish that has never left the template, and is taken back, has no end to tell."""
    record = situation.record
    return (
        record is not None
        and record.operation == OperationType.SET_LINK
        and record.reason != Reason.ROLLOUT_STRATEGY_STAGE
    )


def _link_is_set(link: str) -> Finding:
    message = f"its link is {link}"
    return _link_finding(OperationPath.DYNAMIC, OperationPhase.READY, Reason.LINK_SET, message)


def _link_cannot_be_set() -> Finding:
    return _link_finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.LINK_STATE_NOT_SUPPORTED,
        "the guest itself drives the link of an SR-IOV device",
        'Take "state: down" away, or restart the VM without the NIC',
    )


def _link_finding(
    path: OperationPath, phase: OperationPhase, reason: Reason, message: str, remedy: str = ""
) -> Finding:
    return Finding(
        operation=OperationType.SET_LINK, path=path, phase=phase, reason=reason, message=message, remedy=remedy
    )
