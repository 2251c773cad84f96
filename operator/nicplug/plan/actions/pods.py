"""Effects on launcher pods."""

from dataclasses import dataclass, field

from nicplug.model.frozen_json import FrozenJson, thaw
from nicplug.model.keys import MigrationKey, PodKey, VmiKey
from nicplug.model.names import NETWORK_STATUS_ANNOTATION, NETWORKS_ANNOTATION
from nicplug.plan.actions.json_patch import JsonPatch, add, escape_pointer, replace_members, test
from nicplug.plan.actions.objects import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPod:
    """GET the launcher pods that are missing, before their absence decides anything.

    With `FindPod` the only read that a plan requests: a pod that lost the label by which pods are watched looks
    deleted.

    Attributes:
        keys: the pods by name, at least one.
        owner: the VMI that misses them.
        uids: uids of the pods that nicplug created; one with another uid has only taken the name. None: none is
            recorded, and the owner decides.
    """

    keys: tuple[PodKey, ...]
    owner: VmiKey
    owner_uid: str
    uids: frozenset[str] | None = None

    kind = Kind.POD

    @property
    def key(self) -> PodKey:
        """The first of them, for messages."""
        return self.keys[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindPod:
    """GET a missing pod of a migration: its target, or the source that it has left.

    Attributes:
        migration: the migration that misses it.
        owner_uid: uid of the VMI.
        uids: as in `ConfirmPod`.
    """

    key: PodKey
    migration: MigrationKey
    migration_uid: str
    owner_uid: str
    uids: frozenset[str] | None = None

    kind = Kind.POD


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPodCondition:
    """Write one condition into a pod's status; the kubelet writes all others.

    Attributes:
        condition: the whole row.
        index: index of the row of this type; None if there is none.
        seen: the status of that row as text, or the whole list if there is no row: otherwise a second `add` would add a
            second row.
    """

    key: PodKey
    uid: str
    condition: FrozenJson
    index: int | None
    seen: FrozenJson

    kind = Kind.POD
    subresource = "status"

    def json_patch(self) -> JsonPatch:
        """Replace the row, append it, or create the list."""
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
    """Replace the Multus annotation of one pod, if it is unchanged.

    Not guarded by resourceVersion: frequent changes of the pod's status would fail it for no reason.

    Attributes:
        seen: the text, or None if the annotation did not exist.
        wanted: "" detaches every secondary network; the key is never removed.
        has_annotations: False if the pod has none at all, so that there is no map to patch.
        takes_out: True if an element is removed, so that the interfaces seen as attached are a guard, too: the
            controller may be attaching just that one, and a guest that plugs it a moment later would lose its link.
        seen_status: the network-status, or None without that annotation; ignored when plans are compared.
    """

    key: PodKey
    uid: str
    seen: str | None
    wanted: str
    has_annotations: bool = True
    takes_out: bool = False
    seen_status: str | None = field(default=None, compare=False)

    kind = Kind.POD
    subresource = None

    def json_patch(self) -> JsonPatch:
        """Return the guarded patch."""
        root, wanted = "/metadata/annotations", {NETWORKS_ANNOTATION: self.wanted}
        if self.has_annotations:
            change = replace_members(root, seen={NETWORKS_ANNOTATION: self.seen}, wanted=wanted, version=None)
        else:
            change = [test(root, None), add(root, wanted)]
        attached = [test(f"{root}/{escape_pointer(NETWORK_STATUS_ANNOTATION)}", self.seen_status)]
        return [test("/metadata/uid", self.uid), *(attached if self.takes_out else ()), *change]
