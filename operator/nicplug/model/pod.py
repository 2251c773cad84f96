"""A launcher pod, reduced to what nicplug reads, and the record of those that nicplug created."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model import pod_conditions
from nicplug.model.frozen_json import NULL, FrozenJson, freeze
from nicplug.model.keys import PodKey
from nicplug.model.metadata import ControllerReference, mapping, objects, text
from nicplug.model.names import (
    ATTACHED_ANNOTATION,
    COMPUTE_CONTAINER,
    CPU_OF_GUEST_LABELS,
    CREATED_BY_LABEL,
    LAUNCHER_LABEL,
    MIGRATION_JOB_LABEL,
    MIGRATION_TARGET_READY_ANNOTATION,
    NETWORK_STATUS_ANNOTATION,
    NETWORKS_ANNOTATION,
    POD_SPEC_ANNOTATION,
    UNPAUSED_CONDITION,
)
from nicplug.model.network_status import NetworkStatus, parse_network_status
from nicplug.model.pod_conditions import Explanation, PodCondition, UnreadyContainer

_ISTIO_PROXY = "istio-proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherPod:
    """One pod that claims to belong to a VMI; only `owner` shows whether it does.

    Attributes:
        label: value of the label by which launcher pods are watched; None if it was removed.
        has_labels: True if it has any label.
        created_by: value of the label with the VMI's uid, None if there is none; proves nothing.
        migration_uid: value of the label that names the migration it was created for, "" if there is none; proves
            nothing.
        cpu_selector: the CPU labels in its node selector; `null` if there are none.
        target_ready: the annotation by which a target pod reports that the guest runs in it; None if it has none.
        made_with: digest of the spec that it was created from, "" if it has none.
        attached_annotation: the definitions that it was created with, "" if it has none.
        networks_annotation: the text, or None if the pod has no such annotation.
        network_status_annotation: text of Multus's annotation, or None if the pod has none.
        is_ready: KubeVirt's `IsPodReady`: running, not being deleted, compute running, the rest ready.
        unready: the containers that keep a running pod from being ready.
        is_down: True if the guest's container has ended, whatever the pod's phase says (KubeVirt `PodIsDown`).
        unscheduled: why the scheduler has found no node; None once it has.
        image_error: why an image cannot be pulled, in the kubelet's words; None if it can.
        ended_at: when it ended, by the clock of its node; None while it may still run.
        ending: what ends the pod, if known: an eviction, a lost node, a crash.
        ready_condition: the pod's own Ready condition; None if it has none.
        has_unpaused_gate: True if its Ready depends on the condition that only the operator writes.
        unpaused: that condition; None if it has not been written.
        conditions: all of them, kept only while `unpaused` is missing: they guard the write that adds it.
    """

    key: PodKey
    uid: str
    resource_version: int = field(compare=False)
    owner: ControllerReference | None
    created: datetime | None
    deleting: bool
    label: str | None
    has_labels: bool
    created_by: str | None
    migration_uid: str
    phase: str
    node_name: str
    cpu_selector: FrozenJson
    has_annotations: bool
    target_ready: str | None
    made_with: str
    attached_annotation: str
    networks_annotation: str | None
    network_status: NetworkStatus
    network_status_annotation: str | None
    is_ready: bool
    unready: tuple[UnreadyContainer, ...]
    is_down: bool
    unscheduled: Explanation | None
    image_error: Explanation | None
    ended_at: datetime | None
    ending: Explanation | None
    ready_condition: PodCondition | None
    has_unpaused_gate: bool
    unpaused: PodCondition | None
    conditions: FrozenJson = field(compare=False, repr=False)
    qos_class: str
    compute_image: str

    @property
    def is_finished(self) -> bool:
        """True if the pod will never run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def is_down_or_going(self) -> bool:
        """KubeVirt's `IsPodDownOrGoingDown`."""
        return self.is_down or self.deleting


def parse_pod(raw: Mapping[str, Any]) -> LauncherPod:
    """Parse a pod from the API."""
    metadata, spec, status = (mapping(raw.get(part)) for part in ("metadata", "spec", "status"))
    annotations, labels = mapping(metadata.get("annotations")), mapping(metadata.get("labels"))
    containers = objects(spec.get("containers"))
    gated = any(gate.get("conditionType") == UNPAUSED_CONDITION for gate in objects(spec.get("readinessGates")))
    unpaused = pod_conditions.find(status, UNPAUSED_CONDITION)
    selector = mapping(spec.get("nodeSelector"))
    cpu = {name: value for name, value in selector.items() if name.startswith(CPU_OF_GUEST_LABELS)}
    unready = _unready(status)
    return LauncherPod(
        key=PodKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        owner=meta.controller_reference(metadata),
        created=meta.creation_time(metadata),
        deleting=meta.is_deleting(metadata),
        label=_text_or_none(labels.get(LAUNCHER_LABEL)),
        has_labels=bool(labels),
        created_by=_text_or_none(labels.get(CREATED_BY_LABEL)),
        migration_uid=text(labels.get(MIGRATION_JOB_LABEL)),
        phase=text(status.get("phase")),
        node_name=text(spec.get("nodeName")),
        cpu_selector=freeze(cpu) if cpu else NULL,
        has_annotations=bool(annotations),
        target_ready=_text_or_none(annotations.get(MIGRATION_TARGET_READY_ANNOTATION)),
        made_with=text(annotations.get(POD_SPEC_ANNOTATION)),
        attached_annotation=text(annotations.get(ATTACHED_ANNOTATION)),
        networks_annotation=_text_or_none(annotations.get(NETWORKS_ANNOTATION)),
        network_status=parse_network_status(text(annotations.get(NETWORK_STATUS_ANNOTATION))),
        network_status_annotation=_text_or_none(annotations.get(NETWORK_STATUS_ANNOTATION)),
        is_ready=status.get("phase") == "Running" and not meta.is_deleting(metadata) and not unready,
        unready=unready,
        is_down=_is_down(status),
        unscheduled=pod_conditions.unscheduled(status),
        image_error=pod_conditions.image_error(status),
        ended_at=pod_conditions.ended_at(status),
        ending=pod_conditions.ending(status),
        ready_condition=pod_conditions.find(status, "Ready"),
        has_unpaused_gate=gated,
        unpaused=unpaused if gated else None,
        conditions=freeze(status.get("conditions")) if gated and unpaused is None else NULL,
        qos_class=text(status.get("qosClass")),
        compute_image=next((text(item.get("image")) for item in containers if _is_compute(item)), ""),
    )


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _is_compute(container: Mapping[str, Any]) -> bool:
    return container.get("name") == COMPUTE_CONTAINER


def _unready(status: Mapping[str, Any]) -> tuple[UnreadyContainer, ...]:
    """Apply KubeVirt's `IsPodReady`: the compute container only has to run, since its readiness is the guest's."""
    if status.get("phase") != "Running":
        return ()
    containers = objects(status.get("containerStatuses"))
    missing = [] if any(map(_is_compute, containers)) else [UnreadyContainer(COMPUTE_CONTAINER, "")]
    return (*missing, *(pod_conditions.unready_container(item) for item in containers if not _container_is_ready(item)))


def _container_is_ready(container: Mapping[str, Any]) -> bool:
    if container.get("name") in (COMPUTE_CONTAINER, _ISTIO_PROXY):
        return mapping(container.get("state")).get("running") is not None
    return container.get("ready") is True


def _is_down(status: Mapping[str, Any]) -> bool:
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    return any(
        _is_compute(container) and mapping(container.get("state")).get("terminated") is not None
        for container in objects(status.get("containerStatuses"))
    )


# The record, by uid, in the status of the VMI and of its migrations: nicplug's own members `launcherPods` and
# `targetPod`. Any client that creates pods chooses their names, labels and owners; only nicplug and the node agents
# write these statuses, and no uid is ever reused (docs/adr/0019).

LAUNCHER_PODS_MEMBER = "launcherPods"
TARGET_POD_MEMBER = "targetPod"
# A VMI has two pods while it migrates. Only a status that another client wrote has more.
_LONGEST_RECORD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """One pod that nicplug created.

    Attributes:
        migration_uid: uid of the migration that it was created for; "" for the pod that starts the guest.
        is_replaced: True if another target pod replaces it, and the VM never migrates to it.
    """

    key: PodKey
    uid: str
    migration_uid: str = ""
    is_replaced: bool = False

    def to_row(self) -> dict[str, str]:
        """Return the entry of `launcherPods`."""
        row = {"name": self.key.name, "uid": self.uid}
        return {**row, "migrationUid": self.migration_uid} if self.migration_uid else row


def parse_launcher_pods(status: Mapping[str, Any], *, namespace: str) -> tuple[PodRecord, ...] | None:
    """Return the record in a VMI's status; None if no version of nicplug that keeps one has written it."""
    rows = objects(status.get(LAUNCHER_PODS_MEMBER))[:_LONGEST_RECORD]
    found = tuple(parse_record(row, namespace=namespace, migration_uid=text(row.get("migrationUid"))) for row in rows)
    return tuple(record for record in found if record is not None) or None


def parse_record(row: Mapping[str, Any], *, namespace: str, migration_uid: str) -> PodRecord | None:
    """Parse one record; None if name or uid is missing."""
    name, uid = text(row.get("name")), text(row.get("uid"))
    if not name or not uid:
        return None
    return PodRecord(key=PodKey(namespace, name), uid=uid, migration_uid=migration_uid)
