"""What a pod's status says about its fate: conditions, waiting reasons, ends. Any of it may be missing or invalid."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from nicplug.model.metadata import mapping, objects, text
from nicplug.model.names import COMPUTE_CONTAINER
from nicplug.model.times import parse_time

# KubeVirt quotes two waiting reasons of the kubelet; with any other one, the container is still to start.
_IMAGE_ERRORS = frozenset({"ErrImagePull", "ImagePullBackOff"})
_STARTS = frozenset({"ContainerCreating", "PodInitializing"})
# Long enough for any message of a scheduler or a registry; every watcher receives the status.
_QUOTED_CHARACTERS = 1024


class Explanation(NamedTuple):
    """A CamelCase reason and a sentence, as Kubernetes wrote them."""

    reason: str
    message: str


class UnreadyContainer(NamedTuple):
    """A container of a running pod that is not ready.

    Attributes:
        why: "" if it may still be starting.
    """

    name: str
    why: str


class PodCondition(NamedTuple):
    """A condition of a pod.

    Attributes:
        position: its index in the list.
    """

    status: str
    reason: str
    message: str
    position: int = 0


def find(status: Mapping[str, Any], type_: str) -> PodCondition | None:
    """Return the condition of that type."""
    rows = status.get("conditions")
    for position, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, Mapping) and row.get("type") == type_:
            return PodCondition(text(row.get("status")), text(row.get("reason")), _quoted(row.get("message")), position)
    return None


def unscheduled(status: Mapping[str, Any]) -> Explanation | None:
    """Return why the pod has no node yet; None once it has one, or before the scheduler has tried."""
    condition = find(status, "PodScheduled")
    if condition is None or condition.status != "False":
        return None
    return Explanation(condition.reason, condition.message)


def image_error(status: Mapping[str, Any]) -> Explanation | None:
    """Return the error of the first container, init containers first, whose image cannot be pulled."""
    for container in (*objects(status.get("initContainerStatuses")), *objects(status.get("containerStatuses"))):
        waiting = mapping(mapping(container.get("state")).get("waiting"))
        if waiting.get("reason") in _IMAGE_ERRORS:
            return Explanation(text(waiting.get("reason")), _quoted(waiting.get("message")))
    return None


def unready_container(container: Mapping[str, Any]) -> UnreadyContainer:
    """Return why it is not ready, in words that stay the same while it restarts repeatedly."""
    state, last_state = mapping(container.get("state")), mapping(container.get("lastState"))
    ends = [mapping(item["terminated"]) for item in (state, last_state) if "terminated" in item]
    waiting = _quoted(mapping(state.get("waiting")).get("reason"))
    if ends:
        code = ends[0].get("exitCode")
        why = f"ended with exit code {code}" if isinstance(code, int) else "ended"
    else:
        why = "" if waiting in _STARTS else waiting
    return UnreadyContainer(text(container.get("name")), why)


def ended_at(status: Mapping[str, Any]) -> datetime | None:
    """Return when a finished pod ended: the end of its guest's container or, without one, the pod's last transition."""
    if status.get("phase") not in ("Succeeded", "Failed"):
        return None
    for container in objects(status.get("containerStatuses")):
        terminated = mapping(mapping(container.get("state")).get("terminated"))
        if container.get("name") == COMPUTE_CONTAINER and (moment := parse_time(terminated.get("finishedAt"))):
            return moment
    moments = [parse_time(row.get("lastTransitionTime")) for row in objects(status.get("conditions"))]
    return max((moment for moment in moments if moment), default=None)


def ending(status: Mapping[str, Any]) -> Explanation | None:
    """Return what ends the pod: the kubelet (`Evicted`), a disruption (eviction API, taint, preemption), a crash."""
    if reason := text(status.get("reason")):
        return Explanation(reason, _quoted(status.get("message")))
    disruption = find(status, "DisruptionTarget")
    if disruption is not None and disruption.status == "True" and disruption.reason:
        return Explanation(disruption.reason, disruption.message)
    for container in objects(status.get("containerStatuses")):
        if container.get("name") == COMPUTE_CONTAINER:
            return _crash(mapping(mapping(container.get("state")).get("terminated")))
    return None


def _crash(terminated: Mapping[str, Any]) -> Explanation | None:
    code = terminated.get("exitCode")
    if not terminated or code == 0:
        return None
    said = _quoted(terminated.get("message"))
    message = f"container {COMPUTE_CONTAINER} ended with exit code {code}" + (f": {said}" if said else "")
    return Explanation(text(terminated.get("reason")) or "Error", message)


def _quoted(value: Any) -> str:
    said = text(value)
    return said if len(said) <= _QUOTED_CHARACTERS else f"{said[:_QUOTED_CHARACTERS]} ..."
