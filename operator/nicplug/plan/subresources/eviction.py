"""What an eviction of a pod is answered, before the API server looks at budgets.

Source: KubeVirt 1.9 `pod-eviction-admitter.go`: its cases, texts and code. What differs is in docs/differences.md.
"""

from dataclasses import dataclass

from nicplug.model.eviction import EvictionStrategy
from nicplug.model.frozen_json import freeze
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.names import LAUNCHER_LABEL_VALUE, VMI_KIND
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Kind, PatchStatus
from nicplug.plan.vmi.disruption_budget import eviction_strategy

EVACUATION_NODE = "evacuationNodeName"
"""The member of a VMI's status that names the node which the guest is to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionAnswer:
    """The answer to an eviction.

    Attributes:
        refusal: why it is refused for now, as 429; "" to let the API server's budgets decide.
        mark: what is written before it is answered.
    """

    refusal: str = ""
    mark: PatchStatus | None = None


ALLOWED = EvictionAnswer()


def owner_of_guest(pod: LauncherPod) -> str:
    """The name of the VMI whose guest the eviction would end; "" for a pod without one."""
    is_launcher = pod.label == LAUNCHER_LABEL_VALUE and pod.owner is not None and pod.owner.kind == VMI_KIND
    return pod.owner.name if is_launcher and pod.owner is not None and not pod.is_finished else ""


def ask_eviction(
    *, pod: LauncherPod, vmi: VirtualMachineInstance | None, config: KubevirtConfig | None
) -> EvictionAnswer:
    """Decide.

    Args:
        pod: that is to be evicted, of which `owner_of_guest` names `vmi`.
        vmi: None when there is none: the pod is on its way out.
        config: the KubeVirt CR; None when there is none.
    """
    if vmi is None or pod.owner is None or pod.owner.uid != vmi.uid:
        return ALLOWED
    match eviction_strategy(vmi, config):
        case EvictionStrategy.LIVE_MIGRATE if not vmi.is_migratable:
            name = vmi.key.name
            return EvictionAnswer(
                refusal=f"VMI {name} is configured with an eviction strategy but is not live-migratable"
            )
        case EvictionStrategy.LIVE_MIGRATE_IF_POSSIBLE if not vmi.is_migratable:
            return ALLOWED
        case None | EvictionStrategy.NONE:
            return ALLOWED
    # The descheduler looks for these words.
    triggered = f'Eviction triggered evacuation of VMI "{vmi.key}"'
    if vmi.node_name != pod.node_name:
        return EvictionAnswer(refusal="Eviction request for target Pod")
    if vmi.evacuation_node == pod.node_name:
        return EvictionAnswer(refusal=f"Evacuation in progress: {triggered}")
    return EvictionAnswer(refusal=triggered, mark=_mark(vmi))


def _mark(vmi: VirtualMachineInstance) -> PatchStatus:
    """Only while the guest is where the pod is."""
    status = vmi.read_status()
    return PatchStatus(
        kind=Kind.VMI,
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        seen=freeze({"nodeName": vmi.node_name, EVACUATION_NODE: status.get(EVACUATION_NODE)}),
        wanted=freeze({"nodeName": vmi.node_name, EVACUATION_NODE: vmi.node_name}),
    )
