"""Patches that replace members of one part of an object: a status, a spec, labels, annotations, finalizers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar, TypeVar

from nicplug.model.frozen_json import NULL, FrozenJson, freeze, read, read_object, thaw
from nicplug.model.interface_report import InterfaceReport
from nicplug.model.keys import ObjectKey
from nicplug.model.metadata import mapping
from nicplug.model.migration import Migration
from nicplug.model.pod import LauncherPod
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions.json_patch import JsonPatch, add, guard, replace_members, test
from nicplug.plan.actions.objects import CheckUnchanged, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMembers:
    """Replace members of the object at `root`, each only if it is unchanged: other clients write there too.

    Attributes:
        seen: the members that change, as they were; null for a missing one. `null` itself: there is nothing at `root`.
        wanted: these members with their new values; null removes one. An unchanged one is a guard.
        version: resourceVersion of the object from which they were read; ignored when plans are compared. None if only
            texts are guarded, which it never replaces (`json_patch.guard`).
        generation: the generation that the object must still have, if the patch makes another program act on the spec.
        guards: what else must be unchanged, by JSON pointer.
    """

    kind: Kind
    key: ObjectKey
    uid: str
    version: int | None = field(default=None, compare=False)
    seen: FrozenJson
    wanted: FrozenJson
    generation: int | None = None
    guards: FrozenJson = NULL

    root: ClassVar[str]
    subresource: ClassVar[str | None] = None

    def json_patch(self) -> JsonPatch:
        """Return one patch for all members; a single failed `test` rejects it as a whole."""
        generation = [test("/metadata/generation", self.generation)] if self.generation is not None else []
        guards = (guard(path, seen, version=self.version) for path, seen in (thaw(self.guards) or {}).items())
        return [test("/metadata/uid", self.uid), *generation, *guards, *self.changes()]

    def changes(self, *, root_exists: bool = False) -> JsonPatch:
        """Return its part of a patch that may already have created the object at `root`."""
        seen, wanted = thaw(self.seen), thaw(self.wanted)
        if seen is None and not root_exists:
            members = {member: value for member, value in wanted.items() if value is not None}
            return [test(self.root, None), *([add(self.root, members)] if members else [])]
        return replace_members(self.root, seen=seen or dict.fromkeys(wanted), wanted=wanted, version=self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchStatus(PatchMembers):
    """Patch a status, whose lists the node agent writes as well."""

    root = "/status"
    subresource = "status"

    def guarded_by(self, member: str, seen: Any) -> "PatchStatus":
        """Return the patch with another guard: that member, too, must be unchanged, and stays so."""
        before = thaw(self.seen)
        if before is None:
            return self
        return replace(self, seen=freeze({**before, member: seen}), wanted=freeze({member: seen, **thaw(self.wanted)}))


class HandOffStep(Enum):
    """Instruction of the migration controller to the node agents."""

    HAND_OFF = "hand-off"
    ABORT = "abort"
    MARK_FAILED = "mark failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMigrationState(PatchMembers):
    """Replace `status.migrationState` of a VMI, which the node agents write too."""

    step: HandOffStep

    root = "/status"
    subresource = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckGuest(PatchMembers):
    """Fail, without changing anything, if the guest is not where it was, or its migration has proceeded.

    Precedes actions whose own guard cannot check this: the deletion of a pod, the end of a migration. Not
    resourceVersion: other clients report to the VMI at the end of every migration, which failed every second check.
    """

    root = "/status"
    subresource = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckNics(PatchMembers):
    """Fail, without changing anything, if the VMI's spec, or what its guest has, has changed since it was seen.

    Precedes the removal of an element from a pod: a process with an outdated watch, or a former leader, would remove
    what a newer spec requests, or what the guest has plugged since. Does not check other reports.
    """

    root = "/status"

    def fits(self, raw: Mapping[str, Any]) -> bool:
        """Report whether the patch would pass on that object, which has just been read."""
        metadata, status = mapping(raw.get("metadata")), mapping(raw.get("status"))
        is_same = metadata.get("uid") == self.uid and metadata.get("generation") == self.generation
        present = {"interfaces": status.get("interfaces")} if status else None
        return is_same and freeze(present) == self.seen


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSpec(PatchMembers):
    """Replace members of a spec: where a VMI's next pod may run, how long it has to shut down, whether a VM runs."""

    root = "/spec"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchLabels(PatchMembers):
    """Set or remove labels; node agents and watches select objects by them."""

    root = "/metadata/labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchAnnotations(PatchMembers):
    """Set or remove annotations."""

    root = "/metadata/annotations"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFinalizers(PatchMembers):
    """Replace the finalizers; an empty list releases a deleted object."""

    root = "/metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchOwnership(PatchMembers):
    """Restore the label and the owner of an object of nicplug's after an edit."""

    root = "/metadata"


ObjectWithStatus = VirtualMachine | VirtualMachineInstance | Migration
"""The objects of KubeVirt's whose status nicplug writes, in standalone mode."""
ReportedObject = ObjectWithStatus | InterfaceReport
"""The objects whose status nicplug writes, in any mode."""

_KINDS: Mapping[type[ReportedObject | LauncherPod], Kind] = {
    VirtualMachine: Kind.VM,
    VirtualMachineInstance: Kind.VMI,
    Migration: Kind.MIGRATION,
    LauncherPod: Kind.POD,
    InterfaceReport: Kind.REPORT,
}
M = TypeVar("M", bound=PatchMembers)


def patch_members(
    of: type[M],
    item: ReportedObject | LauncherPod,
    *,
    present: Mapping[str, Any] | None,
    wanted: Mapping[str, Any],
    version: int | None = None,
) -> M:
    """Return a patch that sets members of the object; None removes one.

    Args:
        present: what is at the root of the patch; None for nothing.
        version: as in `PatchMembers`.
    """
    seen = None if present is None else {member: present.get(member) for member in wanted}
    return of(
        kind=_KINDS[type(item)],
        key=item.key,
        uid=item.uid,
        version=version,
        seen=freeze(seen),
        wanted=freeze(dict(wanted)),
    )


def check_unchanged(item: ObjectWithStatus) -> CheckUnchanged:
    """Return the check that the object has not changed since it was seen."""
    return CheckUnchanged(kind=_KINDS[type(item)], key=item.key, uid=item.uid, version=item.resource_version)


def check_nics(vmi: VirtualMachineInstance) -> CheckNics:
    """Return the check that the VMI's spec and its `status.interfaces` have not changed since it was seen."""
    status = vmi.status.members
    wanted = {"interfaces": status.get("interfaces")}
    check = patch_members(CheckNics, vmi, present=status or None, wanted=wanted, version=vmi.resource_version)
    return replace(check, generation=vmi.generation)


def patch_status(item: ReportedObject, wanted: Mapping[str, Any]) -> PatchStatus:
    """Return a patch that sets these members of the object's status."""
    return patch_members(
        PatchStatus, item, present=read(item.status_text), wanted=wanted, version=item.resource_version
    )


def turn_vm(vm: VirtualMachine, *, is_on: bool) -> PatchSpec:
    """Return a patch that sets the VM to run always, or to be halted, in the field that its owner uses."""
    spec = vm.read_rest_of_spec()
    strategy, running = spec.get("runStrategy"), spec.get("running")
    if strategy is not None:
        strategy = "Always" if is_on else "Halted"
    else:
        running = is_on
    return patch_members(PatchSpec, vm, present=spec, wanted={"runStrategy": strategy, "running": running})


def patch_finalizers(item: ObjectWithStatus, wanted: tuple[str, ...]) -> PatchFinalizers:
    """Return a patch that replaces the object's finalizers with these."""
    present = {"finalizers": list(item.finalizers) or None}
    return patch_members(PatchFinalizers, item, present=present, wanted={"finalizers": list(wanted)})


def patch_label(item: VirtualMachineInstance | Migration, name: str, wanted: str) -> PatchLabels:
    """Return a patch that sets one label."""
    return patch_members(PatchLabels, item, present=read_object(item.labels) or None, wanted={name: wanted})


def patch_annotation(vmi: VirtualMachineInstance, name: str, wanted: str | None) -> PatchAnnotations:
    """Return a patch that sets one annotation; None removes it."""
    return patch_members(PatchAnnotations, vmi, present=vmi.read_annotations() or None, wanted={name: wanted})
