"""Whether a pod's node selector, required node affinity and tolerations fit a node.

What nobody here knows (an operator of a later Kubernetes, text where a list should be) counts as fitting: the
scheduler decides in the end, and nothing must be refused that it would have taken.

Source: Kubernetes `component-helpers/scheduling/corev1`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.node import Node, Taint

_REPELLING = frozenset({"NoSchedule", "NoExecute"})
_CORDONED = Taint(key="node.kubernetes.io/unschedulable", value="", effect="NoSchedule")


def missing_labels(selector: Mapping[str, Any], node: Node) -> list[str]:
    """The parts of a `nodeSelector` that the node lacks, as `name=value`."""
    return [f"{name}={value}" for name, value in sorted(selector.items()) if node.labels.get(name) != value]


def fits_affinity(affinity: Mapping[str, Any], node: Node) -> bool:
    """The required node affinity of a pod's `affinity`; what is only preferred does not count."""
    required = mapping(affinity.get("nodeAffinity")).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not isinstance(required, Mapping):
        return True
    return any(_fits_term(term, node) for term in objects(required.get("nodeSelectorTerms")))


def is_cordoned_for(tolerations: Iterable[Mapping[str, Any]], node: Node) -> bool:
    """The node takes no new pods, and this one does not insist."""
    return not node.is_schedulable and not _is_tolerated(_CORDONED, tolerations)


def repelling_taints(tolerations: Iterable[Mapping[str, Any]], node: Node) -> list[Taint]:
    """The taints that keep the pod away; that of a cordoned node is told by `is_cordoned_for`."""
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
