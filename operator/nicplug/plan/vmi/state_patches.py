"""Patches of a VMI's `status.migrationState`, which instructs the node agents; each is guarded by what was read."""

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
    """Mark the migration as failed, so that the node agents stop working on it."""
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
    """Return a copy of the migration state as it was read."""
    return dict(mapping(vmi.status.members.get(MIGRATION_STATE)))


def replace_state(vmi: VirtualMachineInstance, state: Mapping[str, Any], *, step: HandOffStep) -> PatchMigrationState:
    """Replace the migration state."""
    return patch_state(
        vmi,
        step=step,
        seen={MIGRATION_STATE: vmi.status.members.get(MIGRATION_STATE)},
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
    """Replace these members of the status; unchanged ones serve as a guard.

    Args:
        target_node: the value that the node label must still have; None for any.
        generation: the generation that the VMI must still have; None for any.
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
