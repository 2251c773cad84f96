"""A Node, and whether a pod may run there. Omits what changes with each heartbeat."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.conditions import READY, Status
from nicplug.model.frozen_json import FrozenJson, freeze, shared
from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.quantity import parse_quantity

PLACEMENT_MEMBERS = ("affinity", "nodeSelector", "tolerations")
"""The members of a VMI spec that determine where its pods may run."""


def parse_placement(spec: Mapping[str, Any]) -> FrozenJson:
    """Return those that are set: a record keeps them separately, so that no pass has to parse a whole spec for them."""
    return shared(freeze({member: value for member in PLACEMENT_MEMBERS if (value := spec.get(member))}))


# Source: Kubernetes `core/v1`; resources with a domain in their name belong to device plugins.


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """A reason why the node takes no pod that does not tolerate it."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        value = f"={self.value}" if self.value else ""
        return f"{self.key}{value}:{self.effect}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node.

    Attributes:
        is_schedulable: True if it is not cordoned.
        devices: names of the extended resources of which it has any allocatable, whether or not they are in use.
    """

    name: str
    uid: str
    resource_version: int = field(compare=False)
    deleting: bool
    labels: Mapping[str, str]
    is_schedulable: bool
    is_ready: bool
    taints: tuple[Taint, ...]
    devices: frozenset[str]


def parse_node(raw: Mapping[str, Any]) -> Node:
    """Parse a Node from the API."""
    metadata, spec, status = mapping(raw.get("metadata")), mapping(raw.get("spec")), mapping(raw.get("status"))
    allocatable = mapping(status.get("allocatable"))
    return Node(
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        deleting=meta.is_deleting(metadata),
        labels={text(name): text(value) for name, value in mapping(metadata.get("labels")).items()},
        is_schedulable=spec.get("unschedulable") is not True,
        is_ready=Status(status).is_true(READY),
        taints=tuple(
            Taint(key=text(item.get("key")), value=text(item.get("value")), effect=text(item.get("effect")))
            for item in objects(spec.get("taints"))
        ),
        devices=frozenset(name for name, amount in allocatable.items() if "/" in name and parse_quantity(amount)),
    )


# Anything unknown (an operator of a later Kubernetes, text instead of a list) counts as fitting: the scheduler decides
# in the end, and nicplug must not refuse what the scheduler would accept.
#
# Source: Kubernetes `component-helpers/scheduling/corev1`.

_REPELLING = frozenset({"NoSchedule", "NoExecute"})
_CORDONED = Taint(key="node.kubernetes.io/unschedulable", value="", effect="NoSchedule")


def missing_labels(selector: Mapping[str, Any], node: Node) -> list[str]:
    """Return the parts of a `nodeSelector` that the node lacks, as `name=value`."""
    return [f"{name}={value}" for name, value in sorted(selector.items()) if node.labels.get(name) != value]


def fits_affinity(affinity: Mapping[str, Any], node: Node) -> bool:
    """Report whether the node matches the required node affinity in `affinity`; preferred terms do not count."""
    required = mapping(affinity.get("nodeAffinity")).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not isinstance(required, Mapping):
        return True
    return any(_fits_term(term, node) for term in objects(required.get("nodeSelectorTerms")))


def is_cordoned_for(tolerations: Iterable[Mapping[str, Any]], node: Node) -> bool:
    """Report whether the node is cordoned and the pod does not tolerate that."""
    return not node.is_schedulable and not _is_tolerated(_CORDONED, tolerations)


def repelling_taints(tolerations: Iterable[Mapping[str, Any]], node: Node) -> list[Taint]:
    """Return the taints that repel the pod; `is_cordoned_for` covers that of a cordoned node."""
    tolerated = list(tolerations)
    return [
        taint
        for taint in node.taints
        if taint.effect in _REPELLING and taint.key != _CORDONED.key and not _is_tolerated(taint, tolerated)
    ]


def _fits_term(term: Mapping[str, Any], node: Node) -> bool:
    labels, fields = objects(term.get("matchExpressions")), objects(term.get("matchFields"))
    if not labels and not fields:
        return False
    own_fields = {"metadata.name": node.name}
    return all(_fits(item, node.labels) for item in labels) and all(_fits(item, own_fields) for item in fields)


def _fits(requirement: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    present = values.get(text(requirement.get("key")))
    wanted = sequence(requirement.get("values"))
    match requirement.get("operator"):
        case "In":
            return present in wanted
        case "NotIn":
            return present not in wanted
        case "Exists":
            return present is not None
        case "DoesNotExist":
            return present is None
        case "Gt" | "Lt" as operator:
            return _compares(operator, present, wanted)
        case _:
            return True


def _compares(operator: str, present: str | None, wanted: list[Any]) -> bool:
    try:
        limit, value = int(wanted[0]), int(present or "")
    except (ValueError, TypeError, IndexError):
        return False
    return value > limit if operator == "Gt" else value < limit


def _is_tolerated(taint: Taint, tolerations: Iterable[Mapping[str, Any]]) -> bool:
    return any(_tolerates(item, taint) for item in tolerations)


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    key, effect = text(toleration.get("key")), text(toleration.get("effect"))
    if effect and effect != taint.effect:
        return False
    operator = toleration.get("operator") or "Equal"
    if not key:
        return operator == "Exists"
    if key != taint.key:
        return False
    return text(toleration.get("value")) == taint.value if operator == "Equal" else True
