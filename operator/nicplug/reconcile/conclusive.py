"""Decides which reports need no second pass: their answer shows an object that is reported in full and needs nothing.

A pass reconciles again what its own write has changed, as a report may lead to the next step. A report that every NIC
of a running guest is ready leads to none: a pass over its answer finds nothing to do, and costs as much CPU as one that
does. `tests/sim` plans again after each such answer, and fails if anything is left.
"""

from dataclasses import dataclass, replace

from nicplug.cache.caches import Caches
from nicplug.model.conditions import INTERFACES_READY, find_condition
from nicplug.model.frozen_json import FrozenJson, read_object
from nicplug.model.keys import VmiKey, VmKey, WorkKey
from nicplug.model.metadata import objects
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, Kind, PatchStatus
from nicplug.reconcile.delays import has_only_to_report, is_steady

# Members of a VM's status that repeat what its VMI says; the others may change what the VM asks for.
_COPIED = frozenset({"conditions", "desiredGeneration"})


@dataclass(frozen=True, slots=True)
class Report:
    """A status patch that an object's own pass sends.

    Attributes:
        before: the record for which it was planned.
        wanted: the members that it replaces; null removes one.
    """

    before: VirtualMachine | VirtualMachineInstance
    wanted: FrozenJson

    def is_conclusive(self, caches: Caches) -> bool:
        """Report whether the answer, which is in the caches by now, has this change alone, and leads to nothing."""
        match self.before:
            case VirtualMachineInstance(key=key):
                after, is_quiet = caches.vmis.get(key), is_steady(key, caches)
                return is_quiet and after is not None and self._leads_to_nothing(after)
            case VirtualMachine(key=vm_key):
                vm, is_quiet = caches.vms.get(vm_key), has_only_to_report(vm_key, caches)
                return is_quiet and vm is not None and self._leads_to_nothing(vm)

    def _leads_to_nothing(self, after: VirtualMachine | VirtualMachineInstance) -> bool:
        if replace(after, status=self.before.status) != self.before:
            return False
        status, expected = after.read_status(), {**self.before.read_status(), **read_object(self.wanted)}
        row = find_condition(objects(status.get("conditions")), INTERFACES_READY)
        is_ready = row is not None and row.get("status") == "True"
        return is_ready and status == {member: value for member, value in expected.items() if value is not None}


def find_report(action: Action, *, by: WorkKey, caches: Caches) -> Report | None:
    """Return the action as a report about the object whose pass sends it; None if it is none."""
    before: VirtualMachine | VirtualMachineInstance | None = None
    match action, by:
        case PatchStatus(kind=Kind.VMI), VmiKey():
            before = caches.vmis.get(by)
        case PatchStatus(kind=Kind.VM), VmKey() if read_object(action.wanted).keys() <= _COPIED:
            before = caches.vms.get(by)
    return Report(before, action.wanted) if isinstance(action, PatchStatus) and before is not None else None
