"""A launcher pod, as far as nicplug looks at it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.keys import PodKey
from nicplug.model.metadata import ControllerReference, mapping, sequence, text
from nicplug.model.names import COMPUTE_CONTAINER, NETWORK_STATUS_ANNOTATION, NETWORKS_ANNOTATION
from nicplug.model.network_status import NetworkStatus, parse_network_status

_ISTIO_PROXY = "istio-proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherPod:
    """One pod that says it belongs to a VMI; whether it does is told by `owner` alone.

    Attributes:
        networks_annotation: the text, or None when the pod has no such annotation.
        is_ready: KubeVirt's `IsPodReady`: running, not being deleted, compute running, the rest ready.
        unschedulable: the scheduler's message while it finds no node, else "".
        ready_condition: the pod's own Ready condition: status, reason, message; None when it has none.
    """

    key: PodKey
    uid: str
    resource_version: int = field(compare=False)
    owner: ControllerReference | None
    created: datetime | None
    deleting: bool
    phase: str
    node_name: str
    has_annotations: bool
    networks_annotation: str | None
    network_status: NetworkStatus
    is_ready: bool
    unschedulable: str
    ready_condition: tuple[str, str, str] | None
    compute_image: str

    @property
    def is_finished(self) -> bool:
        """The pod will never run again."""
        return self.phase in ("Succeeded", "Failed")


def parse_pod(raw: Mapping[str, Any]) -> LauncherPod:
    """Project a pod of the API."""
    metadata, spec, status = (mapping(raw.get(part)) for part in ("metadata", "spec", "status"))
    annotations = mapping(metadata.get("annotations"))
    networks = annotations.get(NETWORKS_ANNOTATION)
    return LauncherPod(
        key=PodKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        owner=meta.controller_reference(metadata),
        created=meta.creation_time(metadata),
        deleting=meta.is_deleting(metadata),
        phase=text(status.get("phase")),
        node_name=text(spec.get("nodeName")),
        has_annotations=bool(annotations),
        networks_annotation=networks if isinstance(networks, str) else None,
        network_status=parse_network_status(text(annotations.get(NETWORK_STATUS_ANNOTATION))),
        is_ready=_is_ready(metadata, status),
        unschedulable=_unschedulable(status),
        ready_condition=_condition(status, "Ready"),
        compute_image=next(
            (text(item.get("image")) for item in _items(spec, "containers") if item.get("name") == COMPUTE_CONTAINER),
            "",
        ),
    )


def _items(parent: Mapping[str, Any], member: str) -> list[Mapping[str, Any]]:
    return [item for item in sequence(parent.get(member)) if isinstance(item, Mapping)]


def _is_ready(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """KubeVirt `IsPodReady`: the compute container need only run, its readiness is the guest's."""
    if meta.is_deleting(metadata) or status.get("phase") != "Running":
        return False
    containers = _items(status, "containerStatuses")
    names = {text(container.get("name")) for container in containers}
    return COMPUTE_CONTAINER in names and all(_container_is_ready(container) for container in containers)


def _container_is_ready(container: Mapping[str, Any]) -> bool:
    if container.get("name") in (COMPUTE_CONTAINER, _ISTIO_PROXY):
        return "running" in mapping(container.get("state"))
    return container.get("ready") is True


def _condition(status: Mapping[str, Any], type_: str) -> tuple[str, str, str] | None:
    for row in _items(status, "conditions"):
        if row.get("type") == type_:
            return text(row.get("status")), text(row.get("reason")), text(row.get("message"))
    return None


def _unschedulable(status: Mapping[str, Any]) -> str:
    condition = _condition(status, "PodScheduled")
    if condition is None or condition[:2] != ("False", "Unschedulable"):
        return ""
    return condition[2] or "no node fits"
