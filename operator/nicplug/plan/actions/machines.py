"""Effects on VMs and VMIs, and on the disruption budgets of the latter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model.eviction import budget_labels, budget_spec
from nicplug.model.frozen_json import FrozenJson, thaw
from nicplug.model.keys import DisruptionBudgetKey, VmiKey, VmKey
from nicplug.model.metadata import ControllerReference
from nicplug.model.names import MIGRATION_JOB_LABEL
from nicplug.model.vm import VirtualMachine
from nicplug.plan.actions.json_patch import JsonPatch, add, escape_pointer, guard, test
from nicplug.plan.actions.members import PatchAnnotations
from nicplug.plan.actions.objects import Kind

_JOB = f"/metadata/labels/{escape_pointer(MIGRATION_JOB_LABEL)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnVm:
    """Have a VM run always, or have it halted, if it is as it was seen, in the field that its owner uses.

    Attributes:
        run_strategy: `spec.runStrategy` as seen; None when the VM has `running`, or neither.
        running: `spec.running` as seen.
    """

    key: VmKey
    uid: str
    run_strategy: str | None
    running: bool | None
    is_on: bool

    kind = Kind.VM
    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` of both fields, `add` of the one."""
        by_strategy = add("/spec/runStrategy", "Always" if self.is_on else "Halted")
        return [
            test("/metadata/uid", self.uid),
            test("/spec/runStrategy", self.run_strategy),
            test("/spec/running", self.running),
            by_strategy if self.run_strategy is not None else add("/spec/running", self.is_on),
        ]


def turn_vm(vm: VirtualMachine, *, is_on: bool) -> TurnVm:
    """Have this VM run or not."""
    spec = vm.read_rest_of_spec()
    return TurnVm(
        key=vm.key, uid=vm.uid, run_strategy=spec.get("runStrategy"), running=spec.get("running"), is_on=is_on
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchInterfaces:
    """Replace networks and interfaces of a VMI spec, or of a VM template, if both are what we saw.

    Source: KubeVirt `pkg/network/controllers/vm.go`, same operations in the same order after the uid.

    Attributes:
        version: resourceVersion of the object in which the lists were seen; part of no comparison of plans.
        origin: travels with the lists that it tells about, so that no crash can part them.
        rolled_back: what was taken out of the lists because it could not be brought about; likewise.
        requests: `status.interfaceRequests` of the VM as seen, some of which it carries out, or before all of which it
            comes: none is carried out once more by somebody who has not heard of its end, and none is overtaken. None
            where it has nothing to do with them.
        rows: `status.interfaces` of the VMI as seen, where a NIC may change only as long as no guest has been given it.
            None where that does not matter.
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
        """`test` and `add` of both lists."""
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
    """Give a VMI that nobody controls its VM for a controller; other owners that it has stay.

    Attributes:
        version: resourceVersion of the VMI in which nobody controlled it.
        finalizer: that the VMI lacks, and that a VMI of a VM has; "" when it has it.
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
        """`test` of the resourceVersion: the first to adopt it wins."""
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
    """Raise or lower a budget, or put back what somebody else has changed in it.

    The generation is tested with the migration that it was last raised for: a leader that is behind must not lower
    the budget of a migration that it has not heard of, also where that found the budget raised already.

    Attributes:
        generation: of the budget as seen; part of no comparison of plans.
        seen_migration: value of the label as seen, None when there is none; part of no comparison either.
        migration_uid: of the migration that it is raised for; None for a guest that stays where it is.
        has_labels: False when it has no label at all, so that there is no map to patch.
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
        """The guarded patch."""
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
