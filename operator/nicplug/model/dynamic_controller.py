"""The dynamic networks controller of Multus: its DaemonSets, their pods, and whether one of them works on a node."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model import pod_conditions
from nicplug.model.conditions import READY, Status
from nicplug.model.keys import DaemonSetKey, PodKey
from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.node import Node, fits_affinity, missing_labels, repelling_taints
from nicplug.model.times import parse_time

# Source: Kubernetes `apps/v1`, and `pkg/controller/daemon/util` for what the DaemonSet controller adds to each pod: the
# node it is for, and the tolerations.

_ADDED_TOLERATIONS = tuple(
    {"key": f"node.kubernetes.io/{name}", "operator": "Exists"}
    for name in (
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
        "network-unavailable",
    )
)
_SET_OPERATORS = {"In": "in", "NotIn": "notin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSet:
    """One DaemonSet.

    Attributes:
        images: the images of its pods' containers.
        selector: selects its pods, as the query of a LIST.
        node_selector: that of its pods; likewise `affinity` and `tolerations`.
    """

    key: DaemonSetKey
    uid: str
    resource_version: int = field(compare=False)
    created: datetime | None
    deleting: bool
    labels: Mapping[str, str]
    images: tuple[str, ...]
    selector: str
    node_selector: Mapping[str, Any]
    affinity: Mapping[str, Any]
    tolerations: tuple[Mapping[str, Any], ...]

    def selects(self, node: Node) -> bool:
        """Report whether the node should run one of its pods."""
        return (
            not self.deleting
            and not missing_labels(self.node_selector, node)
            and fits_affinity(self.affinity, node)
            and not repelling_taints((*self.tolerations, *_ADDED_TOLERATIONS), node)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSetPod:
    """One pod that claims to belong to a DaemonSet; only `owner_uid` proves it.

    Attributes:
        node_name: the node that it runs on, or is meant for.
        not_ready_since: when it stopped being ready, or was created; None while it is ready, or if unknown.
        deleted_at: when its deletion was requested; None while it is not being deleted.
        message: why it is not ready, for a sentence; "" if it is ready. Omits what changes while it stays not ready.
    """

    key: PodKey
    uid: str
    resource_version: int = field(compare=False)
    owner_uid: str
    node_name: str
    is_ready: bool
    not_ready_since: datetime | None
    deleted_at: datetime | None
    message: str


def parse_daemon_set(raw: Mapping[str, Any]) -> DaemonSet:
    """Parse a DaemonSet from the API."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    pod = mapping(mapping(spec.get("template")).get("spec"))
    return DaemonSet(
        key=DaemonSetKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        created=meta.creation_time(metadata),
        deleting=meta.is_deleting(metadata),
        labels={text(name): text(value) for name, value in mapping(metadata.get("labels")).items()},
        images=tuple(text(container.get("image")) for container in objects(pod.get("containers"))),
        selector=_query(mapping(spec.get("selector"))),
        node_selector=mapping(pod.get("nodeSelector")),
        affinity=mapping(pod.get("affinity")),
        tolerations=tuple(objects(pod.get("tolerations"))),
    )


def parse_daemon_set_pod(raw: Mapping[str, Any]) -> DaemonSetPod:
    """Parse a pod from the API."""
    metadata, spec, status = (mapping(raw.get(part)) for part in ("metadata", "spec", "status"))
    owner, name = meta.controller_reference(metadata), text(metadata.get("name"))
    is_ready = Status(status).is_true(READY) and not meta.is_deleting(metadata)
    return DaemonSetPod(
        key=PodKey(text(metadata.get("namespace")), name),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        owner_uid=owner.uid if owner is not None and owner.kind == "DaemonSet" else "",
        node_name=text(spec.get("nodeName")) or _intended_node(mapping(spec.get("affinity"))),
        is_ready=is_ready,
        not_ready_since=None if is_ready else _not_ready_since(metadata, status),
        deleted_at=_deleted_at(metadata),
        message="" if is_ready else f"pod {name} {_trouble(metadata, status)}",
    )


def _query(selector: Mapping[str, Any]) -> str:
    labels = [f"{name}={value}" for name, value in sorted(mapping(selector.get("matchLabels")).items())]
    return ",".join([*labels, *(_requirement(item) for item in objects(selector.get("matchExpressions")))])


def _requirement(expression: Mapping[str, Any]) -> str:
    key, operator = text(expression.get("key")), text(expression.get("operator"))
    if operator in _SET_OPERATORS:
        values = ",".join(sorted(text(value) for value in sequence(expression.get("values"))))
        return f"{key} {_SET_OPERATORS[operator]} ({values})"
    return key if operator == "Exists" else f"!{key}"


def _intended_node(affinity: Mapping[str, Any]) -> str:
    """Return the node that the DaemonSet controller created the pod for, before the scheduler binds it."""
    required = mapping(mapping(affinity.get("nodeAffinity")).get("requiredDuringSchedulingIgnoredDuringExecution"))
    for term in objects(required.get("nodeSelectorTerms")):
        for item in objects(term.get("matchFields")):
            if item.get("key") == "metadata.name" and (values := sequence(item.get("values"))):
                return text(values[0])
    return ""


def _deleted_at(metadata: Mapping[str, Any]) -> datetime | None:
    """Return when the deletion was requested: `deletionTimestamp` is when the grace period ends."""
    ends_at, grace = parse_time(metadata.get("deletionTimestamp")), metadata.get("deletionGracePeriodSeconds")
    if ends_at is None:
        return None
    seconds = grace if isinstance(grace, int) and 0 <= grace <= 86_400 else 0
    return ends_at - timedelta(seconds=seconds)


def _not_ready_since(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> datetime | None:
    if (deleted_at := _deleted_at(metadata)) is not None:
        return deleted_at
    return parse_time(Status(status).condition(READY).since) or meta.creation_time(metadata)


def _trouble(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if meta.is_deleting(metadata):
        return "is being deleted"
    for container in (*objects(status.get("initContainerStatuses")), *objects(status.get("containerStatuses"))):
        if reason := text(mapping(mapping(container.get("state")).get("waiting")).get("reason")):
            return f"waits: {reason}"
    if unscheduled := pod_conditions.unscheduled(status):
        return f"has no node: {unscheduled.reason}"
    return "has ended" if status.get("phase") in ("Succeeded", "Failed") else "is not ready"


# As in its own manifests and those of the distributions.
_IMAGE = "multus-dynamic-networks-controller"
_NAMES = ("dynamic-networks-controller", "multus-dynamic-networks-controller")


class ControllerState(StrEnum):
    """What is known about the dynamic networks controller on the node of the VM."""

    UNKNOWN = "unknown"
    """Its DaemonSets or pods cannot be read, so the controller gets the benefit of the doubt."""
    NOT_DEPLOYED = "not deployed"
    """The cluster has none."""
    NOT_ON_NODE = "not on the node"
    NOT_READY = "not ready"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicController:
    """The dynamic networks controller, as seen from one node.

    Attributes:
        daemon_set: `<namespace>/<name>` of the DaemonSet, for a sentence; "" if none is known.
        message: why it is not ready, for a sentence; "" if it is ready.
        since: when it stopped being ready, or vanished from a node that its DaemonSet still selects; None if it is
            ready, was never there, or if unknown.
    """

    state: ControllerState = ControllerState.UNKNOWN
    daemon_set: str = ""
    message: str = ""
    since: datetime | None = None

    @property
    def is_absent(self) -> bool:
        """True if nothing on the node would handle the pod's networks annotation."""
        return self.state in (ControllerState.NOT_DEPLOYED, ControllerState.NOT_ON_NODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFinder:
    """`dynamicController` of the policy: which DaemonSet of the trusted namespaces is the dynamic networks controller.

    All fields that are set must match; without a name, an image or labels, the usual image or name identifies it.

    Attributes:
        name: name of the DaemonSet.
        image: part of the image of one of its containers.
        match_labels: labels of the DaemonSet.
    """

    namespace: str = ""
    name: str = ""
    image: str = ""
    match_labels: Mapping[str, str] = field(default_factory=dict)

    def matches(self, daemon_set: DaemonSet) -> bool:
        """Report whether the DaemonSet is the controller."""
        if self.namespace not in ("", daemon_set.key.namespace):
            return False
        if not (self.name or self.image or self.match_labels):
            is_named = daemon_set.key.name.startswith(_NAMES)
            return is_named or any(_IMAGE in image for image in daemon_set.images)
        return (
            self.name in ("", daemon_set.key.name)
            and any(self.image in image for image in daemon_set.images)
            and self.match_labels.items() <= daemon_set.labels.items()
        )


def parse_controller_finder(raw: Mapping[str, Any]) -> ControllerFinder:
    """Parse `spec.configuration.network.hotplug.dynamicController` of the KubeVirt CR."""
    labels = mapping(mapping(raw.get("selector")).get("matchLabels"))
    return ControllerFinder(
        namespace=text(raw.get("namespace")),
        name=text(raw.get("name")),
        image=text(raw.get("image")),
        match_labels={text(name): text(value) for name, value in labels.items()},
    )


_BEST_FIRST = (
    ControllerState.READY,
    ControllerState.UNKNOWN,
    ControllerState.NOT_READY,
    ControllerState.NOT_ON_NODE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnNode:
    """One DaemonSet, as seen from one node.

    Attributes:
        pods: those on the node that this very uid controls; None if pods cannot be read.
        gone_at: when the deletion of the last pod seen there was requested; None if none was seen there.
    """

    daemon_set: DaemonSet
    pods: tuple[DaemonSetPod, ...] | None
    gone_at: datetime | None = None


def controller_on_node(daemon_sets: Iterable[OnNode], *, node: Node | None) -> DynamicController:
    """Return the controller on a node; with several DaemonSets, the one in the best state.

    Args:
        daemon_sets: those that are a dynamic networks controller.
        node: None if unknown: a DaemonSet then counts as selecting it.
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
    # Prefer the new pod to the one being deleted.
    pod = min(pods, key=lambda pod: (pod.deleted_at is not None, pod.key))
    since = pod.not_ready_since if returns else None
    return DynamicController(state=ControllerState.NOT_READY, daemon_set=name, message=pod.message, since=since)
