"""Effects as values: what a plan wants done. Equal plans are equal objects.

Every write has its own guard and is harmless when sent twice or by two leaders. Most are a `PatchMembers`: members of a
status, of a spec, of labels, annotations or metadata, each replaced only if it is unchanged.
"""

from nicplug.plan.actions.json_patch import JsonPatch, escape_pointer
from nicplug.plan.actions.machines import AdoptVmi, PatchBudget, PatchInterfaces
from nicplug.plan.actions.members import (
    CheckGuest,
    CheckNics,
    HandOffStep,
    ObjectWithStatus,
    PatchAnnotations,
    PatchFinalizers,
    PatchLabels,
    PatchMembers,
    PatchMigrationState,
    PatchOwnership,
    PatchSpec,
    PatchStatus,
    ReportedObject,
    check_nics,
    check_unchanged,
    patch_annotation,
    patch_finalizers,
    patch_label,
    patch_members,
    patch_status,
    turn_vm,
)
from nicplug.plan.actions.objects import CheckUnchanged, Create, Delete, Kind
from nicplug.plan.actions.pods import ConfirmPod, FindPod, PatchNetworksAnnotation, PatchPodCondition

Patch = (
    PatchMembers
    | PatchInterfaces
    | PatchNetworksAnnotation
    | PatchPodCondition
    | PatchBudget
    | CheckUnchanged
    | AdoptVmi
)
Action = Create | Delete | ConfirmPod | FindPod | Patch

__all__ = [
    "Action",
    "AdoptVmi",
    "CheckGuest",
    "CheckNics",
    "CheckUnchanged",
    "ConfirmPod",
    "Create",
    "Delete",
    "FindPod",
    "HandOffStep",
    "JsonPatch",
    "Kind",
    "ObjectWithStatus",
    "Patch",
    "PatchAnnotations",
    "PatchBudget",
    "PatchFinalizers",
    "PatchInterfaces",
    "PatchLabels",
    "PatchMembers",
    "PatchMigrationState",
    "PatchNetworksAnnotation",
    "PatchOwnership",
    "PatchPodCondition",
    "PatchSpec",
    "PatchStatus",
    "ReportedObject",
    "check_nics",
    "check_unchanged",
    "escape_pointer",
    "patch_annotation",
    "patch_finalizers",
    "patch_label",
    "patch_members",
    "patch_status",
    "turn_vm",
]
