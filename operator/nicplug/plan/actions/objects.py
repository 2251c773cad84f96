"""Effects on an object of any kind."""

from dataclasses import dataclass, field
from enum import Enum

from nicplug.model.frozen_json import FrozenJson
from nicplug.model.keys import ObjectKey
from nicplug.plan.actions.json_patch import JsonPatch, test


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
