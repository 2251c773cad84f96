"""Emits Events on the objects that users look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from nicplug.kube.recorder import ObjectReference
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.migration import Migration
from nicplug.model.names import KUBEVIRT_API_VERSION, MIGRATION_KIND, VM_KIND, VMI_KIND
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.outcome import Announcement, Subject
from nicplug.plan.views import BudgetView, MigrationView, VmiView, VmView

_KINDS = {
    VirtualMachine: VM_KIND,
    VirtualMachineInstance: VMI_KIND,
    Migration: MIGRATION_KIND,
    KubevirtConfig: "KubeVirt",
}
# A change to a NIC, or a guest that cannot start, matters to the owner of the VM as well.
_ALSO_ON_VM = frozenset(
    {
        "InterfaceMigrating",
        "InterfaceRestored",
        "InterfaceBlocked",
        "InterfaceFailed",
        "LauncherPodLost",
        "EvacuationBlocked",
        "FailedCreatePodSandBox",
    }
)
# Completed requests: one Event is enough, on the object that the user edited. The record reports them too.
_ON_VM_ONLY = frozenset({"InterfacePlugged", "InterfaceLinkSet", "InterfaceUnplugged"})


class Recorder(Protocol):
    """Turns announcements into Event objects; never blocks or raises."""

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        """Record one Event; urgent ones go first."""
        ...


@dataclass(frozen=True, slots=True)
class Announcer:
    """Finds the object that an announcement is about."""

    recorder: Recorder

    def announce(
        self, view: VmView | VmiView | MigrationView | BudgetView | CompanionView, announcement: Announcement
    ) -> None:
        """Record the Event on its object; about a VM's NIC also on the VM, and only there if a request is complete."""
        for item in _subjects(view, announcement):
            self.recorder.event(
                reference_of(item),
                type=str(announcement.severity),
                reason=str(announcement.reason),
                message=announcement.message,
                is_urgent=announcement.is_urgent,
            )


def _subjects(
    view: VmView | VmiView | MigrationView | BudgetView | CompanionView, announcement: Announcement
) -> Iterator[VirtualMachine | VirtualMachineInstance | Migration]:
    match view:
        case VmView():
            yield view.vm
        case MigrationView():
            yield view.vmi if announcement.about is Subject.VMI and view.vmi is not None else view.migration
        case BudgetView():
            yield view.vmi
        case CompanionView():
            if view.guest is not None:
                yield from _subjects(view.guest, announcement)
            elif view.vm is not None:
                yield view.vm
        case VmiView():
            vm = view.vm if announcement.about is Subject.VMI else None
            if vm is None or announcement.reason not in _ON_VM_ONLY:
                yield view.vmi
            if vm is not None and announcement.reason in _ON_VM_ONLY | _ALSO_ON_VM:
                yield vm


def reference_of(item: VirtualMachine | VirtualMachineInstance | Migration | KubevirtConfig) -> ObjectReference:
    """Return the reference of an Event to the object."""
    return ObjectReference(
        api_version=KUBEVIRT_API_VERSION,
        kind=_KINDS[type(item)],
        namespace=item.key.namespace,
        name=item.key.name,
        uid=item.uid,
    )
