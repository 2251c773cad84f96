"""Finds what keeps a VM from starting in the conditions of its VMI and of the VM. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from nicplug.model.conditions import FAILURE, FALSE, POD_SCHEDULED, SYNCHRONIZED, TRUE, Condition
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.reasons import Reason

UNSCHEDULABLE = "Unschedulable"
"""The scheduler's own reason."""
_BEFORE_RUNNING = frozenset({None, VmiPhase.PENDING, VmiPhase.SCHEDULING, VmiPhase.SCHEDULED})
_SCHEDULER = "the scheduler, which finds no node for the launcher pod"
_KUBELET = "the kubelet of the launcher pod's node"
_REMEDIES: Mapping[str, tuple[str, str]] = {
    UNSCHEDULABLE: (
        _SCHEDULER,
        "Uncordon a node, or make room on one; or change the VM's nodeSelector, affinity or tolerations",
    ),
    Reason.POD_SANDBOX_FAILED: (
        _KUBELET,
        "Correct what the kubelet names: the network's configuration, its plugin, or its bridge on that node. Or "
        "remove the NIC from the VM, and restart it",
    ),
    Reason.ERR_IMAGE_PULL: (_KUBELET, "Correct the image, or the node's access to the registry"),
    Reason.IMAGE_PULL_BACK_OFF: (_KUBELET, "Correct the image, or the node's access to the registry"),
}
_OTHERS = ("the VM's owner", "Correct what the message names")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProblem:
    """Why a VM that is to run does not.

    Attributes:
        reason: that of the condition: KubeVirt's, the scheduler's or nicplug's.
        message: in the words of its source.
        waits_for: who has the next move.
        remedy: what the user can do.
    """

    reason: str
    message: str
    waits_for: str
    remedy: str

    @property
    def sentence(self) -> str:
        """The problem on one line."""
        return f"{self.reason}: {self.message}" if self.message else self.reason


def start_problem(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> StartProblem | None:
    """Return what is known to keep the VM from starting; None for nothing, and for a VM that runs or is stopped.

    Source: KubeVirt 1.9 `vmi.go` and `lifecycle.go` (`PodScheduled`, `Synchronized`); docs/differences.md for
    `FailedCreatePodSandBox`.
    """
    if vmi is None:
        return _problem(_condition(vm, FAILURE, status=TRUE), of_vm=True)
    if vmi.phase not in _BEFORE_RUNNING:
        return None
    found = (_condition(vmi, type_, status=FALSE) for type_ in (POD_SCHEDULED, SYNCHRONIZED))
    return _problem(next((row for row in found if row is not None), None))


def _condition(owner: VirtualMachine | VirtualMachineInstance | None, type_: str, *, status: str) -> Condition | None:
    found = owner.status.condition(type_) if owner is not None else None
    return found if found is not None and found.status == status and found.reason else None


def _problem(condition: Condition | None, *, of_vm: bool = False) -> StartProblem | None:
    if condition is None:
        return None
    reason = condition.reason
    # A failed request for a NIC does not keep a VM from starting.
    if of_vm and reason == Reason.HOTPLUG_ERROR:
        return None
    waits_for, remedy = _REMEDIES.get(reason, _OTHERS)
    return StartProblem(reason=reason, message=condition.message, waits_for=waits_for, remedy=remedy)
