"""Findings about a NIC to unplug: its state, and what blocks it; and about stray interfaces of the pod."""

from dataclasses import replace

from nicplug.model.interface_status import has_go_ahead
from nicplug.model.networks import Binding, first_by_name
from nicplug.model.operations import OperationPath, OperationPhase, OperationType, with_remedy
from nicplug.plan.checks import first_result
from nicplug.plan.nic.findings import (
    Check,
    Finding,
    Situation,
    annotation_is_unreadable,
    api_server_refuses,
    gate_is_off,
    network_status_is_unreadable,
    unplug_is_staged,
)
from nicplug.plan.nic.live_rules import has_ordinal_names, may_be_unplugged
from nicplug.plan.nic.observed import elements_asked_for, interface_names
from nicplug.plan.nic.path.evidence import FAILED_ATTEMPTS
from nicplug.plan.nic.path_findings import left_by_migration, migration_brings_it, path_is_chosen
from nicplug.plan.reasons import Reason

# Findings about stray interfaces: the launcher pod has them, but no NIC of the VMI does (`plan.nic.observed`).
#
# No VM is migrated for one: it ends with the pod. It is reported while a controller may detach it.

# The longest name of a definition: network-status may contain any text.
_LONGEST_REFERENCE = 317
_REMEDY = "Correct what the controller says; nicplug retries. Or leave it: it ends with the pod"


def find_stray(situation: Situation) -> Finding | None:
    """Find a stray interface; None if nothing is done about it.

    That is so with hot-plug off, without a dynamic networks controller, and beside KubeVirt as long as the pod is asked
    for it: virt-controller takes the element back only when another NIC changes.
    """
    view, pod = situation.view, situation.pod
    if not view.hotplug_enabled or view.controller.is_absent:
        return None
    if not view.settings.asks_pods and pod is not None and situation.interface.name in elements_asked_for(pod):
        return None
    return first_result((api_server_refuses, annotation_is_unreadable), situation) or _is_detached(situation)


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
    """The controller's last report and the number of attempts, as recorded while the pod is not being asked."""
    attempts, record = situation.attempts, situation.record
    if attempts is not None:
        return attempts.error, attempts.count
    return (record.last_error, record.attempts) if record is not None else ("", 0)


_DELETE = "Delete its interface and network instead of writing state: absent"


def find_unplug(situation: Situation) -> Finding | None:
    """Find the state of a NIC to unplug; None if nothing of it is left."""
    if situation.row is not None or _is_in_pod(situation):
        return first_result(UNPLUG_CHECKS, situation)
    return left_by_migration(situation)


def nic_cannot_leave(situation: Situation) -> Finding | None:
    """Find a NIC that cannot be unplugged live: KubeVirt's admission would have refused to set it absent.

    An SR-IOV NIC in a pod stays, whether its row exists already or only after this pass.
    """
    is_held = situation.interface.binding is Binding.SRIOV and _is_there(situation)
    if not is_held and may_be_unplugged(situation.interface, vmi=situation.view.vmi):
        return None
    # A template or instance with `absent` on such a NIC is not admitted: restarted, the VM would not start.
    remedy = f"{_DELETE}, and restart the VM" if _is_written_absent(situation) else "Restart the VM"
    message = "only a bridge interface of a secondary (Multus) network can leave a running VM"
    return situation.needs_restart(Reason.UNPLUG_NEEDS_RESTART, message, remedy)


def _is_written_absent(situation: Situation) -> bool:
    """True if `absent` was written, not derived from entries that were deleted from the template."""
    vm, name = situation.view.vm, situation.interface.name
    owner = vm if vm is not None else situation.view.vmi
    interface = first_by_name(owner.interfaces).get(name)
    return interface is not None and interface.is_absent


def pod_has_ordinal_names(situation: Situation) -> Finding | None:
    """Find a pod with ordinal names: removing a NIC would change the names of those after it."""
    if not has_ordinal_names(situation.view.vmi):
        return None
    message = f"{situation.pod_phrase} names its interfaces net1, net2, ..., so that no NIC can leave it"
    return situation.needs_restart(Reason.ORDINAL_INTERFACE_NAMES, message)


def guest_holds_it(situation: Situation) -> Finding | None:
    """Find a NIC that the guest has to release first."""
    if not situation.in_guest:
        return None
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.IN_GUEST,
        Reason.WAITING_FOR_GUEST_RELEASE,
        f"asked the guest to let the NIC go; {_answers_when(situation)}",
    )


def _answers_when(situation: Situation) -> str:
    """When the guest releases it: while it is being copied, it keeps its devices."""
    in_progress = situation.in_progress
    if in_progress is not None and in_progress.leaves_pod:
        return f"{in_progress.name} migrates the VM, and it may answer only after that"
    return "a guest that is booting or halted answers later"


def _is_there(situation: Situation) -> bool:
    return has_go_ahead(situation.row) or _is_in_pod(situation)


def _is_in_pod(situation: Situation) -> bool:
    """True if the pod has the interface, of whatever network: one of another network has no row (`plan_rows`)."""
    names = interface_names(situation.view.vmi, situation.pod)
    interface = names.get(situation.interface.name)
    return interface is not None and situation.pod is not None and situation.pod.network_status.has(interface)


def only_its_row_is_left(situation: Situation) -> Finding | None:
    """Find a NIC of which only its row is left: neither path nor migration is needed."""
    if _is_there(situation):
        return None
    record = situation.record
    is_known = record is not None and record.operation == OperationType.UNPLUG
    return situation.finding(
        OperationPath(record.path) if is_known and record is not None else OperationPath.DYNAMIC,
        OperationPhase.IN_POD,
        Reason.WAITING_FOR_POD_RELEASE,
        f"the NIC has left the guest and {situation.pod_phrase}; waiting for the node agent to report that",
    )


def network_is_gone(situation: Situation) -> Finding | None:
    """Find a network whose definition is gone, so it cannot be detached either."""
    refusal = situation.annotation.withheld.get(situation.interface.name)
    if refusal is None:
        return None
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.BLOCKED,
        Reason(refusal.reason),
        f"{situation.pod_phrase} keeps the interface that the guest has let go, as it cannot be detached: "
        f"{refusal.message}",
        with_remedy(refusal.remedy, "Or leave it: it ends with the pod"),
    )


UNPLUG_CHECKS: tuple[Check, ...] = (
    gate_is_off,
    nic_cannot_leave,
    pod_has_ordinal_names,
    unplug_is_staged,
    api_server_refuses,
    guest_holds_it,
    only_its_row_is_left,
    annotation_is_unreadable,
    network_is_gone,
    migration_brings_it,
    network_status_is_unreadable,
    path_is_chosen,
)
