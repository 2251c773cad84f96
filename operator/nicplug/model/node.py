"""A Node, as far as it matters to where a VM can go. What changes with each heartbeat is not kept.

Source: Kubernetes `core/v1`; resources with a domain in their name are those of device plugins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.conditions import find_condition
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.quantity import parse_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """A reason of the node's not to take a pod, unless the pod tolerates it."""

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
        is_schedulable: it is not cordoned.
        devices: names of the extended resources of which it has any to allocate, however many are taken.
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
    """Project a Node of the API."""
    metadata, spec, status = mapping(raw.get("metadata")), mapping(raw.get("spec")), mapping(raw.get("status"))
    ready = find_condition(objects(status.get("conditions")), "Ready")
    return Node(
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        deleting=meta.is_deleting(metadata),
        labels={text(name): text(value) for name, value in mapping(metadata.get("labels")).items()},
        is_schedulable=spec.get("unschedulable") is not True,
        is_ready=ready is not None and ready.get("status") == "True",
        taints=tuple(_taint(item) for item in objects(spec.get("taints"))),
        devices=_devices(mapping(status.get("allocatable"))),
    )


def _taint(raw: Mapping[str, Any]) -> Taint:
    return Taint(key=text(raw.get("key")), value=text(raw.get("value")), effect=text(raw.get("effect")))


def _devices(allocatable: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name, amount in allocatable.items() if "/" in name and parse_quantity(amount))
