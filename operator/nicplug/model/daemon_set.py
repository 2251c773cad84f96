"""A DaemonSet and its pods, as far as it matters whether one of them works on a node.

Source: Kubernetes `apps/v1`, and `pkg/controller/daemon/util` for what the DaemonSet controller adds to each pod: the
node it is for, and the tolerations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model import pod_conditions
from nicplug.model.keys import DaemonSetKey, PodKey
from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.node import Node
from nicplug.model.node_matching import fits_affinity, missing_labels, repelling_taints
from nicplug.model.times import parse_time

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
        images: of the containers of its pods.
        selector: of its pods, as the query of a LIST has it.
        node_selector: of its pods; as `affinity` and `tolerations`.
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
        """A pod of it belongs on the node."""
        return (
            not self.deleting
            and not missing_labels(self.node_selector, node)
            and fits_affinity(self.affinity, node)
            and not repelling_taints((*self.tolerations, *_ADDED_TOLERATIONS), node)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSetPod:
    """One pod that says it belongs to a DaemonSet; whether it does is told by `owner_uid` alone.

    Attributes:
        node_name: where it runs, or is to run.
        not_ready_since: when it stopped being ready, or was made; None while it is ready, or when nobody knows.
        deleted_at: when its deletion was asked for; None while it is not being deleted.
        message: why it is not ready, for a sentence; "" when it is. Without what changes while it stays so.
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
    """Project a DaemonSet of the API."""
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
    """Project a pod of the API."""
    metadata, spec, status = (mapping(raw.get(part)) for part in ("metadata", "spec", "status"))
    owner, name = meta.controller_reference(metadata), text(metadata.get("name"))
    ready = pod_conditions.find(status, "Ready")
    is_ready = ready is not None and ready.status == "True" and not meta.is_deleting(metadata)
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
    """The node that the DaemonSet controller made the pod for, while the scheduler has not bound it."""
    required = mapping(mapping(affinity.get("nodeAffinity")).get("requiredDuringSchedulingIgnoredDuringExecution"))
    for term in objects(required.get("nodeSelectorTerms")):
        for item in objects(term.get("matchFields")):
            if item.get("key") == "metadata.name" and (values := sequence(item.get("values"))):
                return text(values[0])
    return ""


def _deleted_at(metadata: Mapping[str, Any]) -> datetime | None:
    """`deletionTimestamp` is when the grace period ends."""
    ends_at, grace = parse_time(metadata.get("deletionTimestamp")), metadata.get("deletionGracePeriodSeconds")
    if ends_at is None:
        return None
    seconds = grace if isinstance(grace, int) and 0 <= grace <= 86_400 else 0
    return ends_at - timedelta(seconds=seconds)


def _not_ready_since(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> datetime | None:
    if (deleted_at := _deleted_at(metadata)) is not None:
        return deleted_at
    rows = (row for row in objects(status.get("conditions")) if row.get("type") == "Ready")
    moments = (parse_time(row.get("lastTransitionTime")) for row in rows)
    return next((moment for moment in moments if moment), None) or meta.creation_time(metadata)


def _trouble(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    if meta.is_deleting(metadata):
        return "is being deleted"
    for container in (*objects(status.get("initContainerStatuses")), *objects(status.get("containerStatuses"))):
        if reason := text(mapping(mapping(container.get("state")).get("waiting")).get("reason")):
            return f"waits: {reason}"
    if unscheduled := pod_conditions.unscheduled(status):
        return f"has no node: {unscheduled.reason}"
    return "has ended" if status.get("phase") in ("Succeeded", "Failed") else "is not ready"
