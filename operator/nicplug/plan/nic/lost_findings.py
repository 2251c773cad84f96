"""A NIC that the guest has, and whose launcher pod has lost the interface behind it: told, and told of its return.

Somebody took its element out of the networks annotation, or the interface out of the pod, which is asked for it as for
one that never came (`plan.nic.annotation`). To KubeVirt `domain` alone is enough. Only a new pod surely fixes it: a
node agent that has plugged a NIC does not connect it to another pod interface of its name.
"""

from dataclasses import replace

from nicplug.model.interface_status import MULTUS_STATUS, has_source
from nicplug.model.metadata import text
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase
from nicplug.model.pod import LauncherPod
from nicplug.plan.nic.findings import WHEN_REFUSED, Finding, Situation
from nicplug.plan.nic.links import has_lost_interface
from nicplug.plan.reasons import Reason

_NEW_POD = "Migrate or restart the VM"
_TOLD = (Reason.POD_INTERFACE_LOST, Reason.POD_INTERFACE_RESTORED)


def pod_has_lost_it(situation: Situation) -> Finding | None:
    """Network-status listed the interface, and lists it no more."""
    pod, network, reported = situation.pod, situation.network, situation.chooser.rows.get(situation.interface.name)
    if pod is None or network is None or not network.is_secondary:
        return None
    if not has_lost_interface(reported, pod=pod):
        return _still_lost(situation, pod)
    if text((reported or {}).get("podInterfaceName")) != text((situation.row or {}).get("podInterfaceName")):
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
    """While nobody can tell, what was known is kept: it did not come back, and its attempts are not begun anew."""
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
    """Not by a pod that the guest has left since. An earlier version did not record which: it is taken to be this."""
    return record.lost_by_pod in ("", pod.uid)


def pod_has_it_again(situation: Situation) -> Finding | None:
    """The pod that had lost it lists it; whether anything passes nobody can see from here.

    Nor whether it is a phantom (`plan.nic.phantoms`): no node agent plugs it any more, which would find that out.
    """
    record, pod = situation.record, situation.pod
    if record is None or record.reason not in _TOLD or not has_source(situation.row, MULTUS_STATUS):
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
    """For the message, and the remedy."""
    journey, attempts, name = situation.journey, situation.attempts, situation.interface.name
    if journey is not None and name in (journey.networks or {}):
        return f"; {journey.name} migrates the VM to a pod that has it", ""
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
