"""Changes of a NIC that the guest has: its network, its link, or a pod interface that was lost."""

from dataclasses import replace

from nicplug.model.interface_status import MULTUS_STATUS, has_source, pod_interface_of
from nicplug.model.networks import KNOWN_STATES, Interface, Network, first_by_name, secondary_by_name
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.plan.checks import first_result
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.nic.findings import (
    WHEN_REFUSED,
    Check,
    Finding,
    Situation,
    api_server_refuses,
    gate_is_off,
    keeps_from_vmi,
    staged,
)
from nicplug.plan.nic.live_rules import link_of, may_change_link
from nicplug.plan.nic.observed import has_lost_interface, networks_asked_for
from nicplug.plan.nic.path_findings import find_migration, settled_by
from nicplug.plan.reasons import Reason

# The template has precedence, as a change that has not reached the VMI must be reported too.


def find_link_change(situation: Situation) -> Finding | None:
    """Find the pending change of a primary NIC, whose link alone changes live; None while it is not in the guest."""
    return first_result(LINK_CHECKS, situation) if situation.in_guest else None


def network_has_changed(situation: Situation) -> Finding | None:
    """Find a requested network other than the pod's; the element of a NIC in the guest is never rewritten."""
    mine, asked = situation.network, _network_asked_for(situation)
    if mine is None or asked is None:
        return None
    namespace = situation.view.vmi.key.namespace
    wanted, own = asked.reference(namespace=namespace), mine.reference(namespace=namespace)
    present = _present(situation) or own
    if wanted != own and keeps_from_vmi(situation):
        if present == own:
            return staged(situation, OperationType.CHANGE_NETWORK, f"network {wanted}")
        asked, wanted = mine, own
    if present == wanted:
        return _network_is_changed(situation)
    if situation.view.vmi.is_migratable and (blocked := first_result(_BEFORE_A_CHANGE, situation)):
        return replace(blocked, operation=OperationType.CHANGE_NETWORK)
    if refusal := refuse_attachment(asked, namespace=namespace, known=situation.view.attachments):
        return replace(situation.blocked(refusal), operation=OperationType.CHANGE_NETWORK)
    found = _change_by_migration(situation, asked, wanted)
    differs = f"{situation.pod_phrase} has network {present}, the spec asks for {wanted}"
    return replace(found, message=f"{differs}; {found.message}")


def _change_by_migration(situation: Situation, asked: Network, wanted: str) -> Finding:
    operation = OperationType.CHANGE_NETWORK
    chosen = situation.chooser.choose(operation=operation, interface=situation.interface, network=asked)
    found = find_migration(situation, chosen, operation=operation, network=wanted) or settled_by(chosen)
    is_in_spec = situation.reference == wanted
    return found if is_in_spec else replace(found, wants_migration=False)


def _network_is_changed(situation: Situation) -> Finding | None:
    """Find a network change that its migration has completed; one that was cancelled is not reported."""
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
    """Find an unknown link state: it counts as up, so the NIC is plugged, but that may not be what was intended.

    This concerns only the link: the NIC is in the guest, plugged or from its start.
    """
    state = _interface_asked_for(situation).state
    if state in KNOWN_STATES:
        return None
    message = f"logical {situation.interface.name} interface state value is unsupported: {state[:40]}. "
    message += "It counts as up"
    remedy = "Write up, down or absent, or leave it out"
    return _link_finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason.INVALID_STATE, message, remedy)


def link_differs(situation: Situation) -> Finding | None:
    """Find a link that differs from its requested state, or has just reached it; unknown until it is reported."""
    link, own = link_of(_interface_asked_for(situation)), link_of(situation.interface)
    if not may_change_link(situation.interface):
        cannot = OperationPath.NONE, OperationPhase.BLOCKED, Reason.LINK_STATE_NOT_SUPPORTED
        message = "the guest itself drives the link of an SR-IOV device"
        remedy = 'Take "state: down" away, or restart the VM without the NIC'
        return _link_finding(*cannot, message, remedy) if link == "down" else None
    present = situation.row.link_state if situation.row is not None else ""
    if link != own and keeps_from_vmi(situation):
        if present in ("", own):
            return staged(situation, OperationType.SET_LINK, f"link {link}")
        link = own
    if not present:
        return None
    if present == link:
        is_set = OperationPath.DYNAMIC, OperationPhase.READY, Reason.LINK_SET
        return _link_finding(*is_set, f"its link is {link}") if _was_linking(situation) else None
    if blocked := first_result(_BEFORE_A_CHANGE, situation):
        return replace(blocked, operation=OperationType.SET_LINK)
    in_progress = situation.in_progress
    later = (
        f"; {in_progress.name} migrates the VM, which comes first"
        if in_progress is not None and in_progress.leaves_pod
        else ""
    )
    message = f"waiting for the node agent on {situation.node_phrase} to set the link {link}{later}"
    return _link_finding(OperationPath.DYNAMIC, OperationPhase.PENDING, Reason.WAITING_FOR_LINK, message)


_BEFORE_A_CHANGE: tuple[Check, ...] = (gate_is_off, api_server_refuses)
LINK_CHECKS: tuple[Check, ...] = (state_is_unknown, link_differs)
CHANGE_CHECKS: tuple[Check, ...] = (network_has_changed, *LINK_CHECKS)


def _in_template(situation: Situation) -> Interface | None:
    vm = situation.view.vm
    return first_by_name(vm.interfaces).get(situation.interface.name) if vm is not None else None


def _network_asked_for(situation: Situation) -> Network | None:
    """The template's network if both are secondary, else the VMI's own."""
    vm, mine = situation.view.vm, situation.network
    if mine is None or not mine.is_secondary or vm is None or _in_template(situation) is None:
        return mine if mine is not None and mine.is_secondary else None
    return secondary_by_name(vm.networks).get(situation.interface.name, mine)


def _present(situation: Situation) -> str:
    """The network that was requested from the pod when the NIC was attached; "" if unknown.

    If the element was removed, network-status still lists the network until the controller detaches it.
    """
    pod, interface = situation.pod, pod_interface_of(situation.row)
    if pod is None:
        return ""
    asked = networks_asked_for(pod, namespace=situation.view.vmi.key.namespace)
    return asked.get(interface) or pod.network_status.network_of(interface)


def _interface_asked_for(situation: Situation) -> Interface:
    return _in_template(situation) or situation.interface


def _was_linking(situation: Situation) -> bool:
    """True if a link change was in progress; one that was cancelled in the template alone is not reported."""
    record = situation.record
    return (
        record is not None
        and record.operation == OperationType.SET_LINK
        and record.reason != Reason.ROLLOUT_STRATEGY_STAGE
    )


def _link_finding(
    path: OperationPath, phase: OperationPhase, reason: Reason, message: str, remedy: str = ""
) -> Finding:
    return Finding(
        operation=OperationType.SET_LINK, path=path, phase=phase, reason=reason, message=message, remedy=remedy
    )


# Reports a NIC in the guest whose launcher pod has lost the interface, and its return.
#
# Its element was removed from the networks annotation, or the interface from the pod. It is requested again like one
# that was never attached (`plan.nic.annotation`). KubeVirt checks only `domain`. Only a new pod is sure to fix it: a
# node agent that has plugged a NIC does not connect it to another pod interface of the same name.

_NEW_POD = "Migrate or restart the VM"
_REPORTED = (Reason.POD_INTERFACE_LOST, Reason.POD_INTERFACE_RESTORED)


def pod_has_lost_it(situation: Situation) -> Finding | None:
    """Find an interface that network-status no longer lists."""
    pod, network, reported = situation.pod, situation.network, situation.reported_row
    if pod is None or network is None or not network.is_secondary:
        return None
    if not has_lost_interface(reported, pod=pod):
        return _still_lost(situation, pod)
    if pod_interface_of(reported) != pod_interface_of(situation.row):
        return None  # of the pod that the guest has left, which named its interfaces in another way
    how, remedy = _how_it_comes_back(situation)
    message = (
        f"the guest has the NIC, but {situation.pod_phrase} has lost its interface: network-status lists it no more, "
        f"so nothing may pass{how}"
    )
    found = situation.finding(OperationPath.DYNAMIC, OperationPhase.FAILED, Reason.POD_INTERFACE_LOST, message, remedy)
    is_refused = situation.interface.name in situation.annotation.withheld or situation.view.refusal is not None
    next_attempt = None if is_refused else situation.next_attempt
    return replace(found, next_attempt=next_attempt, again_at=situation.due_again, lost_by_pod=pod.uid)


def _still_lost(situation: Situation, pod: LauncherPod) -> Finding | None:
    """Keep the finding while network-status is unreadable: it has not returned, and its attempts are not reset."""
    record, status = situation.record, pod.network_status
    if record is None or record.reason != Reason.POD_INTERFACE_LOST or not _was_lost_by(pod, record):
        return None
    if pod.is_ready and not status.problem and not status.has(""):
        return None
    found = situation.finding(
        OperationPath.DYNAMIC, OperationPhase.FAILED, Reason.POD_INTERFACE_LOST, record.message, record.remedy
    )
    return replace(found, next_attempt=record.next_attempt_time, lost_by_pod=pod.uid)


def _was_lost_by(pod: LauncherPod, record: InterfaceOperation) -> bool:
    """True unless a pod lost it that the guest has left since; a record without a pod counts for the present one."""
    return record.lost_by_pod in ("", pod.uid)


def pod_has_it_again(situation: Situation) -> Finding | None:
    """Find a lost interface that the pod lists again; whether it forwards traffic cannot be observed here.

    Nor whether it is a phantom (`plan.nic.phantoms`): no node agent plugs it again, which would reveal that.
    """
    record, pod = situation.record, situation.pod
    if record is None or record.reason not in _REPORTED or not has_source(situation.row, MULTUS_STATUS):
        return None
    if pod is None or not _was_lost_by(pod, record):
        return None
    message = (
        f"{situation.network_phrase} is in the guest, and network-status of {situation.pod_phrase} lists the interface "
        "again that it had lost"
    )
    remedy = "If nothing passes, migrate the VM"
    found = situation.finding(
        OperationPath.DYNAMIC, OperationPhase.READY, Reason.POD_INTERFACE_RESTORED, message, remedy
    )
    return replace(found, lost_by_pod=pod.uid)


def _how_it_comes_back(situation: Situation) -> tuple[str, str]:
    """Return message and remedy for the return of the interface."""
    in_progress, attempts, name = situation.in_progress, situation.attempts, situation.interface.name
    if in_progress is not None and name in (in_progress.networks or {}):
        return f"; {in_progress.name} migrates the VM to a pod that has it", ""
    if (refusal := situation.annotation.withheld.get(name)) is not None:
        return f". It cannot be asked for again: {refusal.message}", refusal.remedy
    if (denied := situation.view.refusal) is not None:
        said = f". The API server refuses to have it asked for again, and is asked once more: {denied.message}"
        return said, WHEN_REFUSED
    if attempts is None:
        return "", _NEW_POD
    if not attempts.is_heard:
        if not attempts.error:
            return "", _NEW_POD
        return (
            f". The controller said last: {attempts.error}",
            "Correct first what the controller said, or no pod starts with it; then migrate or restart the VM",
        )
    if attempts.error:
        said = f". The dynamic networks controller does not give it back: {attempts.error}"
        return said, "Correct what the controller says; nicplug retries"
    asked = ". The pod is asked for it again"
    if attempts.count == 0:
        asked += " when it is its turn: NICs that may fail are asked for one by one"
    return asked, "If it, or the traffic, does not come back, migrate or restart the VM"
