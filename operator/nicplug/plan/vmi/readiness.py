"""The readiness gate of a launcher pod: a paused guest gets no traffic.

Source: KubeVirt 1.9 `lifecycle.go`, `syncPausedConditionToPod`. KubeVirt writes it for every pod it sees; here it goes
out with the go-ahead for the node agent, so that a start costs one write and is not slowed (docs/differences.md).
"""

from collections.abc import Iterable
from datetime import datetime

from nicplug.model.conditions import FALSE, PAUSED, TRUE, Row, is_true
from nicplug.model.frozen_json import freeze
from nicplug.model.names import UNPAUSED_CONDITION
from nicplug.model.pod import LauncherPod
from nicplug.model.times import format_time
from nicplug.plan.actions import PatchPodCondition


def plan_readiness(*, pod: LauncherPod, conditions: Iterable[Row], now: datetime) -> PatchPodCondition | None:
    """Bring the pod's condition in line with whether the guest is paused.

    Args:
        conditions: of the VMI; `Paused` is the node agent's.
    """
    if not pod.has_unpaused_gate or not pod.is_ready:
        return None
    is_open = pod.unpaused is not None and pod.unpaused.status == TRUE
    is_paused = is_true(conditions, PAUSED)
    if is_paused != is_open:
        return None
    status, reason, message = (
        (FALSE, "Paused", "the virtual machine is paused")
        if is_paused
        else (TRUE, "NotPaused", "the virtual machine is not paused")
    )
    row = {
        "type": UNPAUSED_CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": format_time(now),
    }
    known = pod.unpaused
    return PatchPodCondition(
        key=pod.key,
        uid=pod.uid,
        condition=freeze(row),
        index=known.position if known is not None else None,
        seen=freeze(known.status) if known is not None else pod.conditions,
    )
