"""The nudge: the networks annotation of a launcher pod written once more, where the admin allows that.

A dynamic networks controller gives up after four attempts and looks at a pod again only when its annotation changes;
virt-controller changes it only for another request. The nudge changes the text and not what it asks for. As long as a
NIC has no row in `status.interfaces`, virt-controller writes its own text back, which the controller takes for one more
change: so nudges are few and far between.

Source: multus-dynamic-networks-controller `pkg/controller/pod.go`; KubeVirt 1.9 `pkg/network/pod/annotations`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.metadata import mapping
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.model.times import format_time
from nicplug.plan.actions import PatchNetworksAnnotation
from nicplug.plan.companion.counted import count_of, past_time
from nicplug.plan.nic.observed import elements_asked_for, interface_names
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.moving import leaves_its_pod

NUDGE_MEMBER = "nudges"
# Longer than the controller's own four attempts take.
FIRST_WAIT = timedelta(seconds=30)
MOST_NUDGES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Nudges:
    """The nudges of one launcher pod for what it lacks now.

    Attributes:
        count: how many there were.
        pod_uid: uid of the pod.
        action: the next one; None if none is due.
        again_at: when the next one is due; None if none is to come.
    """

    count: int = 0
    last_at: datetime | None = None
    pod_uid: str = ""
    action: PatchNetworksAnnotation | None = None
    again_at: datetime | None = None

    def to_row(self) -> dict[str, Any] | None:
        """Return the member of the report's status; None if there was no nudge."""
        if not self.count or self.last_at is None:
            return None
        return {"count": self.count, "lastTime": format_time(self.last_at), "podUid": self.pod_uid}


def plan_nudges(
    view: VmiView, *, operations: Iterable[InterfaceOperation], known: Mapping[str, Any], now: datetime
) -> Nudges:
    """Return the nudges so far, with the next one if it is due.

    Args:
        operations: the records of the NICs after this pass.
        known: the status of the report, with the nudges before.
    """
    pod = active_pod(view)
    if pod is None or not pod.is_ready or leaves_its_pod(view) or view.controller.is_absent:
        return Nudges()
    names = interface_names(view.vmi, pod)
    since = [item.start_time for item in operations if _is_stuck(item, pod, name=names.get(item.name, ""))]
    if not since:
        return Nudges()
    before = _parse(mapping(known.get(NUDGE_MEMBER)), now=now)
    before = before if before.pod_uid == pod.uid else Nudges(pod_uid=pod.uid)
    if before.count >= MOST_NUDGES:
        return before
    due = (before.last_at or min(since)) + FIRST_WAIT * 2**before.count
    if now < due:
        return Nudges(count=before.count, last_at=before.last_at, pod_uid=pod.uid, again_at=due)
    if (nudge := _nudge(pod)) is None:
        return before
    return Nudges(count=before.count + 1, last_at=now, pod_uid=pod.uid, action=nudge)


def _is_stuck(operation: InterfaceOperation, pod: LauncherPod, *, name: str) -> bool:
    """True if the annotation asks the pod for what the controller has not done.

    Args:
        name: of its pod interface; "" if its network is in no spec.
    """
    is_asked, is_attached = name in elements_asked_for(pod), pod.network_status.has(name)
    if operation.path not in (OperationPath.DYNAMIC, OperationPath.NONE) or operation.phase == OperationPhase.READY:
        return False
    if operation.operation == OperationType.PLUG:
        return is_asked and (operation.is_suspect or not is_attached)
    return operation.operation == OperationType.UNPLUG and is_attached and not is_asked


def _nudge(pod: LauncherPod) -> PatchNetworksAnnotation | None:
    """Return the same elements in another text; None if there is no such list."""
    seen = pod.networks_annotation
    try:
        elements = json.loads(seen or "")
    except ValueError:
        return None
    if seen is None or not isinstance(elements, list):
        return None
    compact = json.dumps(elements, separators=(",", ":"))
    # Not with spaces within: an empty list has none.
    wanted = compact if seen != compact else f"{compact} "
    return PatchNetworksAnnotation(key=pod.key, uid=pod.uid, seen=seen, wanted=wanted)


def _parse(row: Mapping[str, Any], *, now: datetime) -> Nudges:
    return Nudges(
        count=count_of(row.get("count")),
        last_at=past_time(row.get("lastTime"), now=now),
        pod_uid=str(row.get("podUid") or ""),
    )
