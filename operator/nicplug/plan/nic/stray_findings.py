"""What is said of an interface that the launcher pod has and no NIC of the VMI (`plan.nic.stray_interfaces`).

Nobody misses it, so no VM is migrated for it: it ends with the pod. It is reported while somebody is there who may
detach it.
"""

from dataclasses import replace

from nicplug.model.operations import OperationPath, OperationPhase
from nicplug.plan.nic.findings import Finding, Situation, annotation_is_unreadable, api_server_refuses, first_finding
from nicplug.plan.nic.path.evidence import FAILED_ATTEMPTS
from nicplug.plan.reasons import Reason

# Of a definition: network-status may hold any text.
_LONGEST_REFERENCE = 317
_REMEDY = "Correct what the controller says; nicplug retries. Or leave it: it ends with the pod"


def find_stray(situation: Situation) -> Finding | None:
    """None while hot-plug is off, or without a dynamic networks controller: nothing is done about it then."""
    view = situation.view
    if not view.hotplug_enabled or view.controller.is_absent:
        return None
    return first_finding((api_server_refuses, annotation_is_unreadable), situation) or _is_detached(situation)


def _is_detached(situation: Situation) -> Finding:
    name, pod = situation.interface.name, situation.pod
    error, count = _what_is_known(situation)
    network = pod.network_status.network_of(name)[:_LONGEST_REFERENCE] if pod is not None else ""
    message = f"{situation.pod_phrase} has an interface {name} of network {network}, which no NIC of the VM has"
    if not error:
        waited = f"{message}: waiting for the dynamic networks controller on {situation.node_phrase} to detach it"
        phase, reason, remedy = OperationPhase.IN_POD, Reason.WAITING_FOR_POD_RELEASE, ""
    else:
        waited = f"{message}. The dynamic networks controller does not detach it: {error}"
        is_stuck = count >= FAILED_ATTEMPTS
        phase = OperationPhase.FAILED if is_stuck else OperationPhase.IN_POD
        reason, remedy = Reason.DETACH_FAILED, _REMEDY if is_stuck else ""
    found = situation.finding(OperationPath.DYNAMIC, phase, reason, waited, remedy)
    return replace(found, next_attempt=situation.next_attempt, again_at=situation.due_again)


def _what_is_known(situation: Situation) -> tuple[str, int]:
    """What the controller said last, and how often the pod was asked: as recorded while it is not being asked."""
    attempts, record = situation.attempts, situation.record
    if attempts is not None:
        return attempts.error, attempts.count
    return (record.last_error, record.attempts) if record is not None else ("", 0)
