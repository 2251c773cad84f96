"""Effects on VMs and VMIs, and on the disruption budgets of the latter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model.eviction import budget_labels, budget_spec
from nicplug.model.frozen_json import FrozenJson, thaw
from nicplug.model.keys import DisruptionBudgetKey, VmiKey, VmKey
from nicplug.model.metadata import ControllerReference
from nicplug.model.names import MIGRATION_JOB_LABEL
from nicplug.plan.actions.json_patch import JsonPatch, add, escape_pointer, guard, test
from nicplug.plan.actions.members import PatchAnnotations
from nicplug.plan.actions.objects import Kind

_JOB = f"/metadata/labels/{escape_pointer(MIGRATION_JOB_LABEL)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchInterfaces:
    """Replace networks and interfaces of a VMI spec, or of a VM template, if both are unchanged.

    Source: KubeVirt `pkg/network/controllers/vm.go`, same operations in the same order after the uid.

    Attributes:
        version: resourceVersion of the object from which the lists were read; ignored when plans are compared.
        origin: written together with the lists that it describes, so that no crash can separate them.
        rolled_back: what was removed from the lists because it could not be applied; likewise.
        requests: `status.interfaceRequests` of the VM as seen; the patch carries out some of them, or must precede all
            of them. Guards against carrying out a request again whose end this process has not seen, and against
            overtaking one. None if it is unrelated to them.
        rows: `status.interfaces` of the VMI as seen, if a NIC may change only as long as no guest has it. None if that
            does not matter.
    """

    kind: Kind
    key: VmKey | VmiKey
    uid: str
    version: int = field(compare=False)
    seen_networks: FrozenJson
    seen_interfaces: FrozenJson
    networks: FrozenJson
    interfaces: FrozenJson
    origin: PatchAnnotations | None = None
    rolled_back: PatchAnnotations | None = None
    requests: FrozenJson | None = None
    rows: FrozenJson | None = None

    subresource = None

    def json_patch(self) -> JsonPatch:
        """Return `test` and `add` of both lists."""
        root = "/spec/template/spec" if self.kind is Kind.VM else "/spec"
        networks, interfaces = f"{root}/networks", f"{root}/domain/devices/interfaces"
        beside = {"/status/interfaceRequests": self.requests, "/status/interfaces": self.rows}
        return [
            test("/metadata/uid", self.uid),
            *(guard(path, thaw(seen), version=self.version) for path, seen in beside.items() if seen is not None),
            guard(networks, thaw(self.seen_networks), version=self.version),
            add(networks, thaw(self.networks)),
            guard(interfaces, thaw(self.seen_interfaces), version=self.version),
            add(interfaces, thaw(self.interfaces)),
            *(self.origin.changes() if self.origin is not None else ()),
            *(self.rolled_back.changes(root_exists=self.origin is not None) if self.rolled_back is not None else ()),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptVmi:
    """Make the VM the controller of a VMI that has none; its other owners stay.

    Attributes:
        version: resourceVersion of the VMI in which it had no controller.
        finalizer: the finalizer of a VM's VMI if the VMI lacks it; otherwise "".
    """

    key: VmiKey
    uid: str
    version: int = field(compare=False)
    owner: ControllerReference
    has_owners: bool = False
    finalizer: str = ""
    has_finalizers: bool = True

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """Return a patch with a `test` of the resourceVersion: the first to adopt it wins."""
        operations = [
            test("/metadata/uid", self.uid),
            test("/metadata/resourceVersion", str(self.version)),
            _append("/metadata/ownerReferences", self.owner.to_row(), has_list=self.has_owners),
        ]
        if self.finalizer:
            operations.append(_append("/metadata/finalizers", self.finalizer, has_list=self.has_finalizers))
        return operations


def _append(path: str, value: Any, *, has_list: bool) -> Mapping[str, Any]:
    return add(f"{path}/-", value) if has_list else add(path, [value])


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchBudget:
    """Raise or lower a budget, or revert what another client has changed in it.

    The patch tests the generation, and the migration that the budget was last raised for: a leader with an outdated
    cache must not lower the budget of a migration that it has not seen, even if that found the budget raised already.

    Attributes:
        generation: generation of the budget as seen; ignored when plans are compared.
        seen_migration: value of the label as seen, None if there is none; likewise ignored.
        migration_uid: uid of the migration that it is raised for; None for a guest that is not migrating.
        has_labels: False if it has no label at all, so that there is no map to patch.
    """

    key: DisruptionBudgetKey
    uid: str
    vmi_uid: str
    generation: int = field(compare=False)
    seen_migration: str | None = field(compare=False)
    min_available: int
    migration_uid: str | None
    has_labels: bool = True

    kind = Kind.BUDGET
    subresource = None

    def json_patch(self) -> JsonPatch:
        """Return the guarded patch."""
        return [
            test("/metadata/uid", self.uid),
            test("/metadata/generation", self.generation),
            *self._label(),
            add("/spec", budget_spec(vmi_uid=self.vmi_uid, min_available=self.min_available)),
        ]

    def _label(self) -> JsonPatch:
        labels = budget_labels(self.migration_uid)
        if not self.has_labels:
            return [test("/metadata/labels", None), add("/metadata/labels", labels)]
        operations = [test(_JOB, self.seen_migration)]
        if self.seen_migration is not None and self.migration_uid is None:
            operations.append({"op": "remove", "path": _JOB})
        return [*operations, *(add(f"/metadata/labels/{escape_pointer(name)}", labels[name]) for name in labels)]
