"""Emits Events on the objects that users look at."""

from dataclasses import dataclass
from typing import Protocol

from nicplug.kube.recorder import ObjectReference
from nicplug.model.migration import Migration
from nicplug.model.names import KUBEVIRT_API_VERSION, MIGRATION_KIND, VM_KIND, VMI_KIND
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.plan.views import BudgetView, MigrationView, VmiView, VmView

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
        if isinstance(view, VmView):
            self._record(_vm_reference(view.vm), announcement)
            return
        if isinstance(view, MigrationView):
            is_of_vmi = announcement.about is Subject.VMI and view.vmi is not None
            regarding = _vmi_reference(view.vmi) if is_of_vmi and view.vmi else _migration_reference(view.migration)
            self._record(regarding, announcement)
            return
        if isinstance(view, BudgetView):
            self._record(_vmi_reference(view.vmi), announcement)
            return
        if isinstance(view, CompanionView):
            if view.guest is not None:
                self.announce(view.guest, announcement)
            elif view.vm is not None:
                self._record(_vm_reference(view.vm), announcement)
            return
        of_vm = view.vm if announcement.about is Subject.VMI else None
        if of_vm is None or announcement.reason not in _ON_VM_ONLY:
            self._record(_vmi_reference(view.vmi), announcement)
        if of_vm is not None and announcement.reason in _ON_VM_ONLY | _ALSO_ON_VM:
            self._record(_vm_reference(of_vm), announcement)

    def _record(self, regarding: ObjectReference, announcement: Announcement) -> None:
        severity = Severity(announcement.severity)
        self.recorder.event(
            regarding,
            type=str(severity),
            reason=str(announcement.reason),
            message=announcement.message,
            is_urgent=announcement.is_urgent,
        )


def _vm_reference(vm: VirtualMachine) -> ObjectReference:
    return ObjectReference(
        api_version=KUBEVIRT_API_VERSION, kind=VM_KIND, namespace=vm.key.namespace, name=vm.key.name, uid=vm.uid
    )


def _vmi_reference(vmi: VirtualMachineInstance) -> ObjectReference:
    return ObjectReference(
        api_version=KUBEVIRT_API_VERSION, kind=VMI_KIND, namespace=vmi.key.namespace, name=vmi.key.name, uid=vmi.uid
    )


def _migration_reference(migration: Migration) -> ObjectReference:
    return ObjectReference(
        api_version=KUBEVIRT_API_VERSION,
        kind=MIGRATION_KIND,
        namespace=migration.key.namespace,
        name=migration.key.name,
        uid=migration.uid,
    )
