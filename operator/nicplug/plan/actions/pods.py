"""Effects on launcher pods."""

from dataclasses import dataclass

from nicplug.model.frozen_json import FrozenJson, thaw
from nicplug.model.keys import PodKey, VmiKey
from nicplug.model.names import (
    LAUNCHER_LABEL,
    LAUNCHER_LABEL_VALUE,
    NETWORKS_ANNOTATION,
)
from nicplug.plan.actions.json_patch import JsonPatch, add, annotate, escape_pointer, test
from nicplug.plan.actions.objects import Kind


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
        operations = [test("/metadata/uid", self.uid)]
        if not self.has_labels:
            labels = {LAUNCHER_LABEL: LAUNCHER_LABEL_VALUE}
            return [*operations, test("/metadata/labels", None), add("/metadata/labels", labels)]
        path = f"/metadata/labels/{escape_pointer(LAUNCHER_LABEL)}"
        return [*operations, test(path, self.seen), add(path, LAUNCHER_LABEL_VALUE)]


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
        operations = [test("/metadata/uid", self.uid)]
        if self.index is not None:
            entry = f"{path}/{self.index}"
            guards = [test(f"{entry}/type", row["type"]), test(f"{entry}/status", seen)]
            return [*operations, *guards, {"op": "replace", "path": entry, "value": row}]
        addition = add(f"{path}/-", row) if seen else add(path, [row])
        return [*operations, test(path, seen), addition]


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
        change = annotate(NETWORKS_ANNOTATION, self.wanted, seen=self.seen, has_annotations=self.has_annotations)
        return [test("/metadata/uid", self.uid), *change]
