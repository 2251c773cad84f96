"""Effects as values: what a plan wants done. Equal plans are equal objects.

Every write carries its own guard and is harmless when sent twice or by two leaders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nicplug.model.frozen_json import FrozenJson, thaw
from nicplug.model.keys import ObjectKey, PodKey, VmiKey, VmKey
from nicplug.model.names import (
    LAUNCHER_LABEL,
    LAUNCHER_LABEL_VALUE,
    NETWORKS_ANNOTATION,
    NODE_NAME_LABEL,
    TEMPLATE_INTERFACES_ANNOTATION,
    VM_GENERATION_ANNOTATION,
)

JsonPatch = Sequence[Mapping[str, Any]]


class Kind(Enum):
    """The kinds that nicplug writes."""

    VM = "VirtualMachine"
    VMI = "VirtualMachineInstance"
    POD = "Pod"
    REVISION = "ControllerRevision"


def escape_pointer(member: str) -> str:
    """A JSON pointer segment (RFC 6901)."""
    return member.replace("~", "~0").replace("/", "~1")


def _test(path: str, value: Any) -> Mapping[str, Any]:
    return {"op": "test", "path": path, "value": value}


def _add(path: str, value: Any) -> Mapping[str, Any]:
    return {"op": "add", "path": path, "value": value}


def _replace_members(root: str, *, seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> JsonPatch:
    """`test` each member, and set it; null removes it."""
    operations = []
    for member, value in wanted.items():
        path = f"{root}/{escape_pointer(member)}"
        operations.append(_test(path, seen[member]))
        operations.append({"op": "remove", "path": path} if value is None else _add(path, value))
    return operations


def _annotate(name: str, wanted: str, *, seen: str | None, has_annotations: bool) -> JsonPatch:
    """Set an annotation that is what we saw; `test` with null passes only while it is missing."""
    if not has_annotations:
        path = "/metadata/annotations"
        return [_test(path, None), _add(path, {name: wanted})]
    path = f"/metadata/annotations/{escape_pointer(name)}"
    return [_test(path, seen), _add(path, wanted)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """POST an object of a deterministic name; a 409 with the same owner means it is done.

    Attributes:
        owner_uid: uid of the controlling owner in `body`; tells our object from a namesake.
    """

    kind: Kind
    key: ObjectKey
    owner_uid: str
    body: FrozenJson = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """DELETE that very object, never a namesake."""

    kind: Kind
    key: ObjectKey
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPod:
    """GET the launcher pod that is missing, before anything is decided on its absence.

    The only read that a plan asks for: a pod that lost the label by which pods are watched looks deleted.

    Attributes:
        owner: the VMI that misses it.
    """

    key: PodKey
    owner: VmiKey
    owner_uid: str

    kind = Kind.POD


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreLabel:
    """Put the label of launcher pods back, so that the watch sees the pod again.

    Attributes:
        seen: the value that stands there instead; None when there is none.
        has_labels: False when the pod has no label at all, so that there is no map to patch.
    """

    key: PodKey
    uid: str
    seen: str | None
    has_labels: bool

    kind = Kind.POD
    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` and `add` of the label."""
        operations = [_test("/metadata/uid", self.uid)]
        if not self.has_labels:
            labels = {LAUNCHER_LABEL: LAUNCHER_LABEL_VALUE}
            return [*operations, _test("/metadata/labels", None), _add("/metadata/labels", labels)]
        path = f"/metadata/labels/{escape_pointer(LAUNCHER_LABEL)}"
        return [*operations, _test(path, self.seen), _add(path, LAUNCHER_LABEL_VALUE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPodCondition:
    """Write one condition into a pod's status; the kubelet writes all others.

    Attributes:
        condition: the whole row.
        index: where the row of this type stands; None when there is none.
        seen: the status of that row as text, or the whole list when there is no row: else a second `add`
            would make a second row.
    """

    key: PodKey
    uid: str
    condition: FrozenJson
    index: int | None
    seen: FrozenJson

    kind = Kind.POD
    subresource = "status"

    def json_patch(self) -> JsonPatch:
        """Replace the row, append it, or begin the list."""
        row, seen, path = thaw(self.condition), thaw(self.seen), "/status/conditions"
        operations = [_test("/metadata/uid", self.uid)]
        if self.index is not None:
            entry = f"{path}/{self.index}"
            guards = [_test(f"{entry}/type", row["type"]), _test(f"{entry}/status", seen)]
            return [*operations, *guards, {"op": "replace", "path": entry, "value": row}]
        addition = _add(f"{path}/-", row) if seen else _add(path, [row])
        return [*operations, _test(path, seen), addition]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchNetworksAnnotation:
    """Replace the Multus annotation of one pod, if it is still what we saw.

    Not guarded by resourceVersion: churn of the pod's status would fail it for no reason.

    Attributes:
        seen: the text, or None when the annotation did not exist.
        wanted: "" detaches every secondary network; the key is never removed.
        has_annotations: False when the pod has none at all, so that there is no map to patch.
    """

    key: PodKey
    uid: str
    seen: str | None
    wanted: str
    has_annotations: bool = True

    kind = Kind.POD
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        change = _annotate(NETWORKS_ANNOTATION, self.wanted, seen=self.seen, has_annotations=self.has_annotations)
        return [_test("/metadata/uid", self.uid), *change]


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginChange:
    """The list of the NICs that came from the template, as it stands on the VMI and as it shall be.

    Attributes:
        seen: the annotation's text; None when there is none.
    """

    seen: str | None
    wanted: str
    has_annotations: bool

    def operations(self) -> JsonPatch:
        """Its part of a patch."""
        return _annotate(
            TEMPLATE_INTERFACES_ANNOTATION, self.wanted, seen=self.seen, has_annotations=self.has_annotations
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchOrigin:
    """Adopt NICs that were on the VMI before they were in the template; the VMI's lists stay."""

    key: VmiKey
    uid: str
    origin: OriginChange

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        return [_test("/metadata/uid", self.uid), *self.origin.operations()]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchVmGeneration:
    """Say on the VMI that it is what this generation of its VM asks for.

    Attributes:
        seen: the annotation, or None when the VMI has none.
    """

    key: VmiKey
    uid: str
    seen: str | None
    wanted: int
    has_annotations: bool = True

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        change = _annotate(
            VM_GENERATION_ANNOTATION, str(self.wanted), seen=self.seen, has_annotations=self.has_annotations
        )
        return [_test("/metadata/uid", self.uid), *change]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnVmOn:
    """Have a halted VM run always, if it still is halted, in the field that its owner uses.

    Attributes:
        run_strategy: `spec.runStrategy` as seen; None when the VM has `running`, or neither.
        running: `spec.running` as seen.
    """

    key: VmKey
    uid: str
    run_strategy: str | None
    running: bool | None

    kind = Kind.VM
    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` of both fields, `add` of the one."""
        wanted = _add("/spec/running", True) if self.run_strategy is None else _add("/spec/runStrategy", "Always")
        return [
            _test("/metadata/uid", self.uid),
            _test("/spec/runStrategy", self.run_strategy),
            _test("/spec/running", self.running),
            wanted,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchInterfaces:
    """Replace networks and interfaces of a VMI spec, or of a VM template, if both are what we saw.

    Source: KubeVirt `pkg/network/controllers/vm.go`, same operations in the same order after the uid.

    Attributes:
        origin: travels with the lists that it tells about, so that no crash can part them.
    """

    kind: Kind
    key: VmKey | VmiKey
    uid: str
    seen_networks: FrozenJson
    seen_interfaces: FrozenJson
    networks: FrozenJson
    interfaces: FrozenJson
    origin: OriginChange | None = None

    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` and `add` of both lists."""
        root = "/spec/template/spec" if self.kind is Kind.VM else "/spec"
        networks, interfaces = f"{root}/networks", f"{root}/domain/devices/interfaces"
        return [
            _test("/metadata/uid", self.uid),
            _test(networks, thaw(self.seen_networks)),
            _add(networks, thaw(self.networks)),
            _test(interfaces, thaw(self.seen_interfaces)),
            _add(interfaces, thaw(self.interfaces)),
            *(self.origin.operations() if self.origin is not None else ()),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPlacement:
    """Replace members of a VMI spec that say where its next pod may run, each if it is still what we saw.

    Attributes:
        seen: the members that change, as they were; null for a missing one.
        wanted: the same members as they shall be; null removes one.
    """

    key: VmiKey
    uid: str
    seen: FrozenJson
    wanted: FrozenJson

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """One patch for all members."""
        operations = [_test("/metadata/uid", self.uid)]
        return [*operations, *_replace_members("/spec", seen=thaw(self.seen), wanted=thaw(self.wanted))]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchStatus:
    """Replace members of a status, each if it is still what we saw: the node agent writes the same lists.

    Attributes:
        seen: the members that change, as they were; null for a missing one. `null` itself: no status yet.
        wanted: the same members as they shall be; null removes one.
    """

    kind: Kind
    key: VmKey | VmiKey
    uid: str
    seen: FrozenJson
    wanted: FrozenJson

    subresource = "status"

    def json_patch(self) -> JsonPatch:
        """One patch for all members; a single failed `test` rejects it whole."""
        seen, wanted = thaw(self.seen), thaw(self.wanted)
        operations = [_test("/metadata/uid", self.uid)]
        if seen is None:
            members = {member: value for member, value in wanted.items() if value is not None}
            return [*operations, _test("/status", None), _add("/status", members)]
        return [*operations, *_replace_members("/status", seen=seen, wanted=wanted)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNode:
    """Write the node's name on the VMI, by which node agents select the VMIs they run."""

    key: VmiKey
    uid: str
    seen: str
    node: str
    has_labels: bool

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The label, creating the label map when there is none."""
        operations = [_test("/metadata/uid", self.uid)]
        if not self.has_labels:
            return [
                *operations,
                _test("/metadata/labels", None),
                _add("/metadata/labels", {NODE_NAME_LABEL: self.node}),
            ]
        path = f"/metadata/labels/{escape_pointer(NODE_NAME_LABEL)}"
        return [*operations, _test(path, self.seen or None), _add(path, self.node)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFinalizers:
    """Replace the finalizers, if they are what we saw; an empty list lets a deleted object go."""

    kind: Kind
    key: VmKey | VmiKey
    uid: str
    seen: tuple[str, ...]
    wanted: tuple[str, ...]

    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` of the old list, null when there is none."""
        path = "/metadata/finalizers"
        return [
            _test("/metadata/uid", self.uid),
            _test(path, list(self.seen) or None),
            _add(path, list(self.wanted)),
        ]


Patch = (
    PatchNetworksAnnotation
    | PatchInterfaces
    | PatchOrigin
    | PatchPlacement
    | PatchVmGeneration
    | PatchStatus
    | PatchPodCondition
    | RestoreLabel
    | LabelNode
    | PatchFinalizers
    | TurnVmOn
)
Action = Create | Delete | ConfirmPod | Patch
