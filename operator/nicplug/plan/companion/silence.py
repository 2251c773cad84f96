"""Whether virt-controller acts on what a VM requests: while it is down, its VMs wait, and no migration would help."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from nicplug.model.networks import first_by_name
from nicplug.model.operations import InterfaceOperation, OperationPhase, OperationType
from nicplug.plan.nic.unasked import unasked_nics
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.moving import leaves_its_pod

PATIENCE = timedelta(seconds=5)
"""virt-controller needs milliseconds; a new leader of it needs its Lease, some 15 s, which is worth reporting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What virt-controller has not acted on.

    Attributes:
        nics: NICs whose change is not in the VMI's spec, or in the pod's annotation, yet; since when.
        migrations: names of migrations that it has not accepted; since when.
    """

    nics: Mapping[str, datetime] = field(default_factory=dict)
    migrations: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def since(self) -> datetime | None:
        """Since when the oldest of it waits; None if nothing does."""
        return min((*self.nics.values(), *self.migrations.values()), default=None)

    def holds_back(self, wanting: Collection[str], *, now: datetime) -> bool:
        """Report whether no migration is created for these NICs.

        A NIC that virt-controller leaves alone, for whatever reason, does not hold up the others.
        """
        concerned = (*(since for name, since in self.nics.items() if name in wanting), *self.migrations.values())
        return any(now - since >= PATIENCE for since in concerned)

    def lasts(self, now: datetime) -> bool:
        """Report whether it is longer than virt-controller ever needs."""
        return self.since is not None and now - self.since >= PATIENCE

    def again_at(self, now: datetime) -> datetime | None:
        """Return when it lasts too long, if that is to come."""
        return self.since + PATIENCE if self.since is not None and not self.lasts(now) else None


def find_silence(view: VmiView, *, records: Mapping[str, InterfaceOperation]) -> Silence:
    """Return what virt-controller still has to act on.

    Source: KubeVirt 1.9, `pkg/virt-controller/network` (the template's NICs).

    Args:
        records: of the NICs, before this pass.
    """
    nics = dict.fromkeys(_not_in_annotation(view), view.spec_seen_at)
    nics |= {name: records[name].start_time for name in _missing_in_spec(view, records)}
    created = {
        item.key.name: item.created
        for item in view.migrations
        if not item.phase and not item.deleting and item.created is not None
    }
    return Silence(nics=nics, migrations=created)


def explain_wait(operation: InterfaceOperation, view: VmiView) -> InterfaceOperation:
    """Return the record of a NIC with what it waits for first, if only the VM's template has it."""
    is_wanted = (operation.operation, operation.phase) == (OperationType.PLUG, OperationPhase.PENDING)
    if not is_wanted or operation.name in first_by_name(view.vmi.interfaces):
        return operation
    message = "the VM's template has it, and KubeVirt's virt-controller has not copied it to the running instance yet"
    return replace(operation, reason=Reason.WAITING_FOR_VIRT_CONTROLLER, message=message)


def _not_in_annotation(view: VmiView) -> frozenset[str]:
    """NICs that virt-controller asks the running pod for, or to detach, and has not yet."""
    pod = active_pod(view)
    if pod is None or leaves_its_pod(view):
        return frozenset()
    return unasked_nics(view.vmi, pod)


def _missing_in_spec(view: VmiView, records: Mapping[str, InterfaceOperation]) -> list[str]:
    """NICs of the VM's template that have not reached the VMI, and that nothing else keeps from it."""
    if view.vm is None:
        return []
    present = first_by_name(view.vmi.interfaces)
    missing = (item.name for item in view.vm.interfaces if item.name not in present and not item.is_absent)
    return [name for name in missing if name in records and not records[name].is_settled]
