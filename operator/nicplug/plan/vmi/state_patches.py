"""Patches of `status.migrationState` of a VMI, by which its node agents are told; each guarded by what was seen."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nicplug.model.frozen_json import freeze
from nicplug.model.metadata import mapping, text
from nicplug.model.names import MIGRATION_TARGET_NODE_LABEL
from nicplug.model.times import format_time
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import HandOffStep, Kind, PatchMigrationState, escape_pointer

MIGRATION_STATE = "migrationState"
_TARGET_NODE = f"/metadata/labels/{escape_pointer(MIGRATION_TARGET_NODE_LABEL)}"


def mark_failed(vmi: VirtualMachineInstance, *, reason: str, now: datetime) -> PatchMigrationState:
    """Say that the migration is over, so that no node agent goes on with it."""
    state = seen_state(vmi)
    ended, started = (state.get(name) or format_time(now) for name in ("endTimestamp", "startTimestamp"))
    wanted = {
        **state,
        "failed": True,
        "completed": True,
        "startTimestamp": started,
        "endTimestamp": ended,
        "failureReason": text(state.get("failureReason")) or reason,
    }
    return replace_state(vmi, wanted, step=HandOffStep.MARK_FAILED)


def seen_state(vmi: VirtualMachineInstance) -> dict[str, Any]:
    """What the node agents have been told, a copy."""
    return dict(mapping(vmi.read_status().get(MIGRATION_STATE)))


def replace_state(vmi: VirtualMachineInstance, state: Mapping[str, Any], *, step: HandOffStep) -> PatchMigrationState:
    """Tell them something else."""
    return patch_state(
        vmi,
        step=step,
        seen={MIGRATION_STATE: vmi.read_status().get(MIGRATION_STATE)},
        wanted={MIGRATION_STATE: dict(state)},
    )


def patch_state(
    vmi: VirtualMachineInstance,
    *,
    step: HandOffStep,
    seen: Mapping[str, Any],
    wanted: Mapping[str, Any],
    target_node: str | None = None,
    generation: int | None = None,
) -> PatchMigrationState:
    """Replace these members of the status; those that stay as they were seen are a guard.

    Args:
        target_node: of the label that must be there still; None: whatever it says.
        generation: that the VMI must still have; None: whatever it is.
    """
    return PatchMigrationState(
        kind=Kind.VMI,
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        step=step,
        seen=freeze(dict(seen)),
        wanted=freeze(dict(wanted)),
        generation=generation,
        guards=freeze({_TARGET_NODE: target_node} if target_node is not None else None),
    )
