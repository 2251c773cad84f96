"""What the DaemonSets and the pods of a dynamic networks controller say about one node."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from nicplug.model.daemon_set import DaemonSet, DaemonSetPod
from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.node import Node

_BEST_FIRST = (
    ControllerState.READY,
    ControllerState.UNKNOWN,
    ControllerState.NOT_READY,
    ControllerState.NOT_ON_NODE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """One DaemonSet, seen from one node.

    Attributes:
        pods: those on the node that are controlled by this very uid; None when pods cannot be read.
        gone_at: when the deletion of the last pod that was there was asked for; None when none was seen there.
    """

    daemon_set: DaemonSet
    pods: tuple[DaemonSetPod, ...] | None
    gone_at: datetime | None = None


def controller_on_node(daemon_sets: Iterable[OnNode], *, node: Node | None) -> DynamicController:
    """The controller on a node; of several DaemonSets, the one in the best state.

    Args:
        daemon_sets: those that are a dynamic networks controller.
        node: None when it is not known: a DaemonSet then counts as selecting it.
    """
    seen = [_see(item, node) for item in sorted(daemon_sets, key=lambda item: item.daemon_set.key)]
    if not seen:
        return DynamicController(state=ControllerState.NOT_DEPLOYED)
    return min(seen, key=lambda item: _BEST_FIRST.index(item.state))


def _see(item: OnNode, node: Node | None) -> DynamicController:
    name, pods = str(item.daemon_set.key), item.pods
    if pods is None:
        return DynamicController(state=ControllerState.UNKNOWN, daemon_set=name)
    if any(pod.is_ready for pod in pods):
        return DynamicController(state=ControllerState.READY, daemon_set=name)
    returns = not item.daemon_set.deleting if node is None else item.daemon_set.selects(node)
    if not pods:
        since = item.gone_at if returns else None
        return DynamicController(state=ControllerState.NOT_ON_NODE, daemon_set=name, since=since)
    # The one that comes, not the one that goes.
    pod = min(pods, key=lambda pod: (pod.deleted_at is not None, pod.key))
    since = pod.not_ready_since if returns else None
    return DynamicController(state=ControllerState.NOT_READY, daemon_set=name, message=pod.message, since=since)
