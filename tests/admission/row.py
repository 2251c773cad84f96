"""One rule of admission: KubeVirt's text for it, an object that is accepted and one that is refused."""

import copy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

# The policy of what more than one field decides.
TOGETHER = "nicplug-interfaces"
OPERATOR = "system:serviceaccount:nicplug-system:nicplug-operator"


class Kind(StrEnum):
    """The kinds that have rules."""

    VM = "VirtualMachine"
    VMI = "VirtualMachineInstance"
    VMIM = "VirtualMachineInstanceMigration"


BOTH = (Kind.VMI, Kind.VM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A rule and its examples.

    Attributes:
        name: of the examples; unique, a part of Kubernetes names.
        rule: what has to hold, as the page says it.
        text: KubeVirt's, for the refused example. `{F}` stands for the path of the VMI spec in the object, and
            `{path}` for the path that KubeVirt repeats in the middle of a sentence.
        instead: what the API server says, where it is not KubeVirt's text.
        because: why not.
        path: where the refusal points; `{F}` as above. A policy cannot point: its message has the path.
        kinds: the objects that have the rule.
        accepted: for `BOTH` a VMI spec, else the spec of the object.
        refused: likewise.
        before: the spec as it is stored, for a rule about changes.
        policy: the ValidatingAdmissionPolicy that enforces it; the schema of the CRD when empty.
        status: of the object that is stored.
        labels: of the object that is stored, of the accepted and of the refused one.
        is_tenants: it holds for users without rights in the whole cluster.
    """

    name: str
    rule: str
    text: str
    accepted: Json
    refused: Json
    instead: str = ""
    because: str = ""
    path: str = ""
    kinds: tuple[Kind, ...] = BOTH
    before: Json | None = None
    policy: str = ""
    status: Json = field(default_factory=dict)
    labels: tuple[Json, Json, Json] = ({}, {}, {})
    is_tenants: bool = False

    def __str__(self) -> str:
        return self.name

    def said(self, kind: Kind) -> str:
        """What the refusal of the example contains. Where the API server points at a field, no sentence repeats it."""
        return (self.instead or self.text).replace("{path} ", "").replace("{F}", root(kind))

    def at(self, kind: Kind) -> str:
        """The path that the refusal of the example names."""
        return self.path.replace("{F}", root(kind))


def root(kind: Kind) -> str:
    """The path of the VMI spec."""
    return "spec.template.spec" if kind is Kind.VM else "spec"


def manifest(row: Row, kind: Kind, spec: Json, *, labels: Json | None = None, suffix: str = "") -> Json:
    """An object of the example, named after row and kind."""
    body = copy.deepcopy(spec)
    if kind is Kind.VM and row.kinds == BOTH:
        body = {"runStrategy": "Halted", "template": {"spec": body}}
    metadata: Json = {"name": f"{row.name}-{kind.lower()}{suffix}"}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "kubevirt.io/v1", "kind": str(kind), "metadata": metadata, "spec": body}


def machine(*pairs: tuple[Json | None, Json | None], **more: Any) -> Json:
    """A VMI spec of these NICs and networks; more members of the spec, or of `devices`."""
    devices: Json = {"interfaces": [nic for nic, _ in pairs if nic is not None]}
    devices |= {key: more.pop(key) for key in ("disks", "autoattachPodInterface") if key in more}
    domain = {"devices": devices} | {key: more.pop(key) for key in ("memory",) if key in more}
    return {"domain": domain, "networks": [network for _, network in pairs if network is not None], **more}


def secondary(name: str = "blue", **fields: Any) -> tuple[Json, Json]:
    """A bridge NIC on a Multus network, or with the binding that is given."""
    return {"name": name, **binding(fields, "bridge")}, {"name": name, "multus": {"networkName": f"{name}-net"}}


def on_pod(name: str = "default", **fields: Any) -> tuple[Json, Json]:
    """A masquerade NIC on the pod network, or with the binding that is given."""
    return {"name": name, **binding(fields, "masquerade")}, {"name": name, "pod": {}}


def as_default(name: str = "default", **fields: Any) -> tuple[Json, Json]:
    """A bridge NIC on a Multus network in place of the pod network."""
    nic, network = secondary(name, **fields)
    return nic, {**network, "multus": {**network["multus"], "default": True}}


def claimed(name: str = "blue", *, bindings: str = "sriov", **claim: str) -> tuple[Json, Json]:
    """An SR-IOV NIC on a network of a resource claim, or with the binding that is given."""
    return {"name": name, **binding({"bindings": bindings}, "")}, {"name": name, "resourceClaim": claim}


def binding(fields: Json, default: str) -> Json:
    """The fields with a binding: `bindings` names them, a space between."""
    given = dict(fields)
    names = given.pop("bindings", default).split()
    return {name: {"name": "vdpa"} if name == "binding" else {} for name in names} | given
