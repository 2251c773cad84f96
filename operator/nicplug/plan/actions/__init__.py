"""Effects as values: what a plan wants done. Equal plans are equal objects.

Every write carries its own guard and is harmless when sent twice or by two leaders.
"""

from nicplug.plan.actions.budgets import PatchBudget
from nicplug.plan.actions.json_patch import JsonPatch, escape_pointer
from nicplug.plan.actions.machines import (
    AdoptVmi,
    LabelNode,
    OriginChange,
    OwnerReference,
    PatchGracePeriod,
    PatchInterfaces,
    PatchOrigin,
    PatchPlacement,
    PatchVmGeneration,
    RollbackNote,
    TurnVmOff,
    TurnVmOn,
)
from nicplug.plan.actions.migrations import (
    Annotate,
    CheckGuest,
    HandOffStep,
    PatchMigrationState,
    ReleaseTarget,
    SetLabel,
)
from nicplug.plan.actions.objects import CheckNics, CheckUnchanged, Create, Delete, Kind, PatchFinalizers, PatchStatus
from nicplug.plan.actions.pods import (
    ConfirmPod,
    FindPod,
    LabelChange,
    PatchNetworksAnnotation,
    PatchPodCondition,
    RestoreLabels,
)

Patch = (
    PatchNetworksAnnotation
    | PatchInterfaces
    | PatchOrigin
    | PatchPlacement
    | PatchVmGeneration
    | PatchStatus
    | PatchPodCondition
    | RestoreLabels
    | CheckUnchanged
    | CheckNics
    | CheckGuest
    | LabelNode
    | AdoptVmi
    | PatchFinalizers
    | TurnVmOn
    | PatchMigrationState
    | ReleaseTarget
    | SetLabel
    | Annotate
    | PatchBudget
)
Action = Create | Delete | ConfirmPod | FindPod | Patch

__all__ = [
    "Action",
    "AdoptVmi",
    "Annotate",
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
    "LabelChange",
    "LabelNode",
    "OriginChange",
    "OwnerReference",
    "Patch",
    "PatchBudget",
    "PatchFinalizers",
    "PatchGracePeriod",
    "PatchInterfaces",
    "PatchMigrationState",
    "PatchNetworksAnnotation",
    "PatchOrigin",
    "PatchPlacement",
    "PatchPodCondition",
    "PatchStatus",
    "PatchVmGeneration",
    "ReleaseTarget",
    "RestoreLabels",
    "RollbackNote",
    "SetLabel",
    "TurnVmOff",
    "TurnVmOn",
    "escape_pointer",
]
