"""Effects on an object of any kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nicplug.model.frozen_json import FrozenJson, freeze, thaw
from nicplug.model.keys import ObjectKey, VmiKey
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
    REPORT = "InterfaceReport"


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """POST an object; a 409 with the same owner means it is done, except for a pod, which only its uid identifies.

    Attributes:
        owner_uid: uid of the controlling owner in `body`; distinguishes nicplug's object from a namesake.
        made_for: for a pod, uid of the migration that it is for; "" for the pod that starts the guest.
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
        version: resourceVersion that it must still have; None: in any version. Ignored when plans are compared.
        unrecorded_of: for a pod that no status records, uid of the VMI that it may have been created to start;
            otherwise "".
    """

    kind: Kind
    key: ObjectKey
    uid: str
    version: int | None = field(default=None, compare=False)
    unrecorded_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckUnchanged:
    """Fail, without changing anything, if the object has changed since it was seen.

    Precedes actions that cannot be guarded themselves: the deletion of a pod to which the guest may have moved since,
    or which another leader may have recorded since; and the adoption of a VMI by a VM that may be being deleted.
    """

    key: ObjectKey
    uid: str
    version: int = field(compare=False)
    kind: Kind

    subresource = None

    def json_patch(self) -> JsonPatch:
        """Return a `test` of uid and resourceVersion."""
        return [test("/metadata/uid", self.uid), test("/metadata/resourceVersion", str(self.version))]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckNics:
    """Fail, without changing anything, if the VMI's spec, or what its guest has, has changed since it was seen.

    Precedes the removal of an element from a pod: a process with an outdated watch, or a former leader, would remove
    what a newer spec requests, or what the guest has plugged since.

    Attributes:
        seen: `status.interfaces`; null for none.
        has_status: False if the VMI has no status at all, so that there is no member of it to test.
        version: resourceVersion of the object from which they were read; ignored when plans are compared.
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
        """Return tests only, and not of other reports."""
        reported = guard("/status/interfaces", thaw(self.seen), version=self.version)
        return [
            test("/metadata/uid", self.uid),
            test("/metadata/generation", self.generation),
            reported if self.has_status else test("/status", None),
        ]

    def fits(self, raw: Mapping[str, Any]) -> bool:
        """Report whether the patch would pass on that object, which has just been read."""
        metadata, status = mapping(raw.get("metadata")), mapping(raw.get("status"))
        is_same = metadata.get("uid") == self.uid and metadata.get("generation") == self.generation
        return is_same and bool(status) == self.has_status and freeze(status.get("interfaces")) == self.seen
