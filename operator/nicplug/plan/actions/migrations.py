"""Effects of a live migration on the VMI that moves, on its pods, and on the migration itself."""

from dataclasses import dataclass, field
from enum import Enum

from nicplug.model.frozen_json import FrozenJson, thaw
from nicplug.model.keys import MigrationKey, PodKey, VmiKey
from nicplug.model.names import MIGRATION_TARGET_NODE_LABEL
from nicplug.plan.actions.json_patch import JsonPatch, add, annotate, escape_pointer, guard, replace_members, test
from nicplug.plan.actions.objects import Kind

_TARGET_LABEL = f"/metadata/labels/{escape_pointer(MIGRATION_TARGET_NODE_LABEL)}"


class HandOffStep(Enum):
    """What the migration controller tells the node agents."""

    HAND_OFF = "hand-off"
    ABORT = "abort"
    MARK_FAILED = "mark failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMigrationState:
    """Replace `status.migrationState` of a VMI, if it is still what we saw: the node agents write it too.

    Attributes:
        seen: the members of the status that are tested; null for a missing one.
        wanted: the same members as they shall be. Those that stay are a guard.
        version: resourceVersion of the object in which it was seen; part of no comparison of plans.
        target_node: of the label that must be there still; a leader that ends the migration, or replaces its target
            pod, removes it (`ReleaseTarget`).
        generation: that the VMI must still have: the target pod has the NICs that this one asks for.
    """

    key: VmiKey
    uid: str
    version: int = field(compare=False)
    step: HandOffStep
    seen: FrozenJson
    wanted: FrozenJson
    target_node: str | None = None
    generation: int | None = None

    kind = Kind.VMI
    subresource = "status"

    def json_patch(self) -> JsonPatch:
        """One patch; a single failed `test` rejects it whole."""
        members = replace_members("/status", seen=thaw(self.seen), wanted=thaw(self.wanted), version=self.version)
        labeled = [test(_TARGET_LABEL, self.target_node)] if self.target_node is not None else []
        same_spec = [test("/metadata/generation", self.generation)] if self.generation is not None else []
        return [test("/metadata/uid", self.uid), *same_spec, *labeled, *members]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckGuest:
    """A patch that changes nothing, and fails when the guest is not where it was, or its migration has gone on.

    Before what no guard of its own could keep from being wrong: the deletion of a pod, the end of a migration.
    Not resourceVersion: at the end of every migration others report to the VMI, and refused one check in two.

    Attributes:
        seen: the members of the status that say it; null for a missing one.
        version: resourceVersion of the object in which they were seen; part of no comparison of plans.
    """

    key: VmiKey
    uid: str
    version: int = field(compare=False)
    seen: FrozenJson

    kind = Kind.VMI
    subresource = "status"

    def json_patch(self) -> JsonPatch:
        """Tests alone."""
        return _guest_tests(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTarget:
    """Take the target node's label from a VMI, unless its guest, or its migration, has gone on.

    Before a target pod is deleted that was replaced, or whose migration has ended: a leader that was held up in the
    hand-off fails.

    Attributes:
        node: that the label names.
        seen: as in `CheckGuest`.
        version: resourceVersion of the object in which it was seen; part of no comparison of plans.
    """

    key: VmiKey
    uid: str
    version: int = field(compare=False)
    node: str
    seen: FrozenJson

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` of what is seen, `remove` of the label."""
        return [
            *_guest_tests(self),
            test(_TARGET_LABEL, self.node),
            {"op": "remove", "path": _TARGET_LABEL},
        ]


def _guest_tests(action: CheckGuest | ReleaseTarget) -> JsonPatch:
    members = sorted(thaw(action.seen).items())
    return [
        test("/metadata/uid", action.uid),
        *(guard(f"/status/{name}", seen, version=action.version) for name, seen in members),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLabel:
    """Set one label, if it is still what we saw.

    Attributes:
        seen: its value; None when there is none.
        has_labels: False when the object has no label at all, so that there is no map to patch.
    """

    kind: Kind
    key: VmiKey | MigrationKey
    uid: str
    name: str
    seen: str | None
    wanted: str
    has_labels: bool

    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        operations = [test("/metadata/uid", self.uid)]
        if not self.has_labels:
            return [*operations, test("/metadata/labels", None), add("/metadata/labels", {self.name: self.wanted})]
        path = f"/metadata/labels/{escape_pointer(self.name)}"
        return [*operations, test(path, self.seen), add(path, self.wanted)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotate:
    """Set one annotation, if it is still what we saw; None removes it. Other attributes as in `SetLabel`."""

    kind: Kind
    key: PodKey | MigrationKey | VmiKey
    uid: str
    name: str
    seen: str | None
    wanted: str | None
    has_annotations: bool

    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        change = annotate(self.name, self.wanted, seen=self.seen, has_annotations=self.has_annotations)
        return [test("/metadata/uid", self.uid), *change]
