"""Effects on an object of any kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nicplug.model.frozen_json import FrozenJson, freeze, thaw
from nicplug.model.keys import MigrationKey, ObjectKey, VmiKey, VmKey
from nicplug.model.metadata import mapping
from nicplug.plan.actions.json_patch import JsonPatch, guard, test


class Kind(Enum):
    """The kinds that nicplug writes."""

    VM = "VirtualMachine"
    VMI = "VirtualMachineInstance"
    MIGRATION = "VirtualMachineInstanceMigration"
    POD = "Pod"
    REVISION = "ControllerRevision"
    BUDGET = "PodDisruptionBudget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """POST an object; a 409 with the same owner means it is done, but for a pod: only its uid tells whether it is ours.

    Attributes:
        owner_uid: uid of the controlling owner in `body`; tells our object from a namesake.
        made_for: of a pod, uid of the migration that it is for; "" for the pod that starts the guest.
    """

    kind: Kind
    key: ObjectKey
    owner_uid: str
    body: FrozenJson = field(repr=False)
    made_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """DELETE that very object, never a namesake.

    Attributes:
        version: resourceVersion that it must still have; None: whatever has become of it. Part of no comparison.
        unrecorded_of: uid of the VMI that a pod which no status records may have been made to start; else "".
    """

    kind: Kind
    key: ObjectKey
    uid: str
    version: int | None = field(default=None, compare=False)
    unrecorded_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUnchanged:
    """A patch that changes nothing, and fails when the object is not the one that was looked at.

    Before what cannot be guarded by itself: the deletion of a pod which the guest may have moved to since, or which
    another leader may have recorded since; and the adoption of a VMI by a VM that may be on its way out.
    """

    key: VmKey | VmiKey | MigrationKey
    uid: str
    version: int = field(compare=False)
    kind: Kind = Kind.VMI

    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` of uid and resourceVersion."""
        return [test("/metadata/uid", self.uid), test("/metadata/resourceVersion", str(self.version))]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckNics:
    """A patch that changes nothing, and fails when the VMI's spec, or what its guest has, is not what was looked at.

    Before a pod loses an element: whoever is behind on its watch, or led before, would take out what a newer spec has
    asked for, or what the guest has plugged since.

    Attributes:
        seen: `status.interfaces`; null for none.
        has_status: False when the VMI has no status at all, so that there is no member of it to test.
        version: resourceVersion of the object in which they were seen; part of no comparison of plans.
    """

    key: VmiKey
    uid: str
    version: int = field(compare=False)
    generation: int
    seen: FrozenJson
    has_status: bool = True

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """Tests alone; other reports do not matter."""
        reported = guard("/status/interfaces", thaw(self.seen), version=self.version)
        return [
            test("/metadata/uid", self.uid),
            test("/metadata/generation", self.generation),
            reported if self.has_status else test("/status", None),
        ]

    def fits(self, raw: Mapping[str, Any]) -> bool:
        """Whether the patch would fit that object, which has just been read."""
        metadata, status = mapping(raw.get("metadata")), mapping(raw.get("status"))
        is_same = metadata.get("uid") == self.uid and metadata.get("generation") == self.generation
        return is_same and bool(status) == self.has_status and freeze(status.get("interfaces")) == self.seen
