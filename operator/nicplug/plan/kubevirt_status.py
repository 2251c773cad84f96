"""The status of a KubeVirt CR: that nicplug serves it, its policy, and problems of the installation.

Pure. Source of phase, types, reasons and messages: KubeVirt 1.9 `pkg/virt-operator/util/conditions.go`
(`UpdateConditionsCreated`, `UpdateConditionsAvailable`, `UpdateConditionsFailedExists`). `hotplug` is nicplug's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.attachments import Knowledge
from nicplug.model.conditions import FALSE, PROGRESSING, SYNCHRONIZED, TRUE, Condition, merge_condition
from nicplug.model.hotplug_policy import POLICY_FIELDS, DynamicPath
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.metadata import mapping, objects
from nicplug.model.names import HOTPLUG_FEATURE_GATE
from nicplug.model.times import format_duration

AVAILABLE, DEGRADED, CREATED = "Available", "Degraded", "Created"
_DEPLOYED = "Deployed"
_READY, _RESOURCES, _EXISTING = "AllComponentsReady", "AllResourcesCreated", "ExistingDeployment"
_IS_READY, _ARE_CREATED = "All components are ready.", "All resources were created."
_IS_IGNORED = "There is an active KubeVirt deployment"
_LONGEST_MESSAGE = 1024
_OURS = (
    "phase",
    "operatorVersion",
    "targetKubeVirtVersion",
    "observedKubeVirtVersion",
    "observedGeneration",
    "conditions",
    "hotplug",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """On how many nodes a NIC can be plugged in place.

    Attributes:
        nodes: how many nodes there are; None if they cannot be read.
        ready: how many have a ready dynamic networks controller; None if unknown.
        is_deployed: True if there is a controller in a trusted namespace.
        trusted: the namespaces in which it would count.
    """

    nodes: int | None = None
    ready: int | None = None
    is_deployed: bool = False
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KubevirtView:
    """The KubeVirt CR in effect, and the installation as the leader sees it.

    Attributes:
        version: nicplug's, as the aggregated API reports it.
        attachment_rule: which networks of other namespaces a VM may use, for a sentence.
    """

    config: KubevirtConfig
    version: str
    attachments: Knowledge
    attachment_rule: str
    coverage: Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class KubevirtReport:
    """The wanted content of a status, without transition times; equal reports need no write.

    Attributes:
        members: members of the status, without the conditions. A member that nicplug writes and that is missing here is
            removed.
    """

    members: Mapping[str, Any]
    conditions: tuple[Condition, ...]


def report_of(view: KubevirtView) -> KubevirtReport:
    """Return the report for the KubeVirt CR in effect."""
    faults = list(_faults(view))
    degraded = Condition(type=DEGRADED, status=FALSE, reason=_READY, message=_IS_READY, message_counts=True)
    if faults:
        message = " ".join(sentence for _, sentence in faults)[:_LONGEST_MESSAGE]
        degraded = Condition(type=DEGRADED, status=TRUE, reason=faults[0][0], message=message, message_counts=True)
    return KubevirtReport(
        members={
            "phase": _DEPLOYED,
            "operatorVersion": view.version,
            "targetKubeVirtVersion": view.version,
            "observedKubeVirtVersion": view.version,
            "observedGeneration": view.config.generation,
            "hotplug": _hotplug(view),
        },
        conditions=(
            Condition(type=CREATED, status=TRUE, reason=_RESOURCES, message=_ARE_CREATED),
            Condition(type=AVAILABLE, status=TRUE, reason=_READY, message=_IS_READY),
            Condition(type=PROGRESSING, status=FALSE, reason=_READY, message=_IS_READY),
            degraded,
        ),
    )


def report_of_ignored(why: str) -> KubevirtReport:
    """Return the report for a KubeVirt CR without effect: as in KubeVirt, only this condition.

    Args:
        why: a sentence with the remedy.
    """
    message = f"{_IS_IGNORED}. {why}"[:_LONGEST_MESSAGE]
    row = Condition(type=SYNCHRONIZED, status=FALSE, reason=_EXISTING, message=message, message_counts=True)
    return KubevirtReport(members={}, conditions=(row,))


def status_patch(raw: Mapping[str, Any], report: KubevirtReport, *, now: datetime) -> list[dict[str, Any]]:
    """Return JSON patch operations below `/status`; empty if it is up to date.

    The conditions are replaced as a whole: the KubeVirt CR has one manager, and conditions of another are outdated.

    Args:
        raw: the object as it was read.
    """
    seen = mapping(raw.get("status"))
    rows = objects(seen.get("conditions"))
    kept = [dict(row) for row in rows if row.get("type") in {item.type for item in report.conditions}]
    for condition in report.conditions:
        kept = merge_condition(kept, condition, now=now)
    wanted = {**report.members, "conditions": kept}
    operations: list[dict[str, Any]] = []
    for name in _OURS:
        if name not in wanted and name in seen:
            operations.append({"op": "remove", "path": f"/status/{name}"})
        elif name in wanted and seen.get(name) != wanted[name]:
            operations.append({"op": "add", "path": f"/status/{name}", "value": wanted[name]})
    if operations and "status" not in raw:
        operations.insert(0, {"op": "add", "path": "/status", "value": {}})
    return operations


def _faults(view: KubevirtView) -> Iterator[tuple[str, str]]:
    """Yield reason and sentence of what keeps NICs from being plugged, the worst first; what is unknown is no fault."""
    config, coverage = view.config, view.coverage
    if view.attachments is Knowledge.NOT_INSTALLED:
        yield (
            "MultusMissing",
            "The CRD network-attachment-definitions.k8s.cni.cncf.io is missing, so no secondary network can be "
            "attached: install Multus.",
        )
    if config.hotplug.dynamic_path is DynamicPath.ALWAYS and coverage.ready == 0:
        yield (
            "NoDynamicController",
            "dynamicPath is Always, and no node has a ready dynamic networks controller: no NIC can be plugged.",
        )
    if config.problems:
        yield "InvalidHotplugPolicy", f"{'; '.join(config.problems)}."


def _hotplug(view: KubevirtView) -> dict[str, Any]:
    policy, coverage = view.config.hotplug, view.coverage
    counts = {"nodes": coverage.nodes, "nodesWithController": coverage.ready}
    return {
        "enabled": view.config.hotplug_enabled,
        "policy": {
            name: format_duration(value) if isinstance(value, timedelta) else str(value)
            for name, value in ((item.name, getattr(policy, item.attribute)) for item in POLICY_FIELDS)
        },
        "attachmentRule": view.attachment_rule,
        **{name: count for name, count in counts.items() if count is not None},
        "message": " ".join(_summary(view)),
    }


def _summary(view: KubevirtView) -> Sequence[str]:
    """Return a summary for cluster admins; none of it is a fault."""
    sentences = [_node_summary(view.coverage)]
    if view.config.hotplug_enabled:
        return sentences
    return [f"Feature gate {HOTPLUG_FEATURE_GATE} is off: no NIC is plugged into a running VM.", *sentences]


def _node_summary(coverage: Coverage) -> str:
    if coverage.ready is None or coverage.nodes is None:
        return "On how many nodes a dynamic networks controller is ready is not known."
    if not coverage.is_deployed:
        trusted = ", ".join(coverage.trusted) or "none"
        return f"No dynamic networks controller in the trusted namespaces ({trusted}): NICs arrive by migration."
    return f"A dynamic networks controller is ready on {coverage.ready} of {coverage.nodes} nodes."
