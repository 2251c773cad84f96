"""The phase of a VMI that follows from its launcher pod.

```
Pending --pod made--> Scheduling --pod ready--> Scheduled --node agent--> Running --node agent--> final
                                 \\__ pod lost __________________________________________________/
```
Source: KubeVirt 1.9 `pkg/virt-controller/watch/vmi/lifecycle.go`. A pod that is ready when it is first seen is
Scheduled at once: nobody acts on a Scheduling in between.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nicplug.model.metadata import mapping
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase

OWNED_BY_NODE_AGENT = frozenset({VmiPhase.SCHEDULED, VmiPhase.RUNNING})
# The node agent tells how a guest has ended, or that it has arrived. One that has not done so by now is not there; the
# pod has ended for certain, so no second guest can come of it. Longer than clocks differ: the moment of the end is the
# node's.
_NODE_AGENT_SILENCE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseDecision:
    """The phase as it shall be; `again_at` when only time can change the answer."""

    phase: VmiPhase
    again_at: datetime | None = None


def is_starting(vmi: VirtualMachineInstance) -> bool:
    """The operator owns the VMI and its pod has still to become ready."""
    return vmi.is_unprocessed or vmi.phase is VmiPhase.SCHEDULING


def decide_phase(
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod | None,
    moving_since: datetime | None = None,
    is_renewed: bool = False,
    now: datetime,
) -> PhaseDecision:
    """The phase that follows from the launcher pod.

    Args:
        pod: the pod that runs the guest; None when it is known that there is none.
        moving_since: since when it is known that the pod is gone and the guest may be in its target pod; else None.
        is_renewed: the pod has never had a guest, and makes room for another one.
    """
    if is_renewed or (vmi.is_unprocessed and pod is None):
        return PhaseDecision(phase=VmiPhase.PENDING)
    if is_starting(vmi):
        return PhaseDecision(phase=_phase_of_new_pod(vmi, pod))
    if vmi.phase not in OWNED_BY_NODE_AGENT:
        return PhaseDecision(phase=vmi.phase)
    since = pod.ended_at if pod is not None else moving_since
    if since is None:
        return PhaseDecision(phase=vmi.phase if pod is not None else VmiPhase.FAILED)
    due = since + _NODE_AGENT_SILENCE
    return PhaseDecision(phase=VmiPhase.FAILED) if now >= due else PhaseDecision(phase=vmi.phase, again_at=due)


def _phase_of_new_pod(vmi: VirtualMachineInstance, pod: LauncherPod | None) -> VmiPhase:
    if pod is None:
        return VmiPhase.FAILED
    if pod.is_ready and guarantees_resources(vmi, pod):
        return VmiPhase.SCHEDULED
    # A pod that dies before the VMI has been seen with it is a start that failed, too.
    return VmiPhase.FAILED if pod.is_down_or_going else VmiPhase.SCHEDULING


def guarantees_resources(vmi: VirtualMachineInstance, pod: LauncherPod) -> bool:
    """Pinned CPUs need a pod of QoS class Guaranteed; KubeVirt keeps any other from being scheduled."""
    if pod.qos_class in ("", "Guaranteed"):
        return True
    cpu = mapping(mapping(vmi.read_spec().get("domain")).get("cpu"))
    return cpu.get("dedicatedCpuPlacement") is not True
