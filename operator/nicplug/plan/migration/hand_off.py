"""Telling the node agents: the hand-off, an abort, and that a migration has failed.

Each is one guarded patch of `status.migrationState`. Source: KubeVirt 1.9 `migration.go` (`handleTargetPodHandoff`,
`handleMarkMigrationFailedOnVMI`, `markMigrationAbortInVmiStatus`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from nicplug.model.frozen_json import freeze, thaw
from nicplug.model.metadata import mapping, text
from nicplug.model.names import MIGRATION_TARGET_NODE_LABEL
from nicplug.model.pod import LauncherPod
from nicplug.model.times import format_time
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, CheckGuest, HandOffStep, Kind, PatchMigrationState, SetLabel

_STATE = "migrationState"
_PODS = "activePods"
TARGET_IS_DOWN = "Target pod is down"


def hand_off(
    vmi: VirtualMachineInstance,
    *,
    migration_uid: str,
    source: LauncherPod,
    target: LauncherPod,
    configuration: Mapping[str, Any],
) -> tuple[Action, ...]:
    """Label first, then state.

    They are two writes, since the status of a VMI is a subresource here. The node agent of the target acts when it
    finds both. After a crash between them the state is not ours yet, so the next pass hands off again and finds the
    label right; the other way round the migration would look handed off, and nobody would be told.

    Args:
        configuration: what the migration runs by; a KubeVirt CR that is edited later changes nothing about it.
    """
    state = {
        "migrationUid": migration_uid,
        "sourceNode": vmi.node_name,
        "sourcePod": source.key.name,
        "targetNode": target.node_name,
        "targetPod": target.key.name,
        "migrationConfiguration": dict(configuration),
    }
    # The node is a guard alone: the guest is still where the source pod is. By the uid of its pod virt-handler finds
    # the launcher's socket, which it would look for in vain until the VMI's own report came.
    pods = vmi.read_status().get(_PODS)
    patch = _patch(
        vmi,
        step=HandOffStep.HAND_OFF,
        seen={_STATE: vmi.read_status().get(_STATE), "nodeName": vmi.node_name, _PODS: pods},
        wanted={
            _STATE: state,
            "nodeName": vmi.node_name,
            _PODS: {**mapping(pods), target.uid: target.node_name},
        },
    )
    label = label_target_node(vmi, target.node_name)
    return (patch,) if label is None else (label, patch)


def check_guest(vmi: VirtualMachineInstance) -> CheckGuest:
    """Whether the guest and its migration are still what the cache says; another watch may have told more."""
    status = vmi.read_status()
    seen = {name: status.get(name) for name in ("nodeName", _STATE)}
    return CheckGuest(key=vmi.key, uid=vmi.uid, version=vmi.resource_version, seen=freeze(seen))


def label_target_node(vmi: VirtualMachineInstance, node: str) -> SetLabel | None:
    """By which the node agent of the target finds the VMI; None when it is there."""
    labels = mapping(thaw(vmi.labels))
    seen = text(labels.get(MIGRATION_TARGET_NODE_LABEL)) or None
    if seen == node:
        return None
    return SetLabel(
        kind=Kind.VMI,
        key=vmi.key,
        uid=vmi.uid,
        name=MIGRATION_TARGET_NODE_LABEL,
        seen=seen,
        wanted=node,
        has_labels=bool(labels),
    )


def mark_failed(vmi: VirtualMachineInstance, *, reason: str, now: datetime) -> PatchMigrationState:
    """Say that the migration is over, so that no node agent goes on with it."""
    state = _seen(vmi)
    ended, started = (state.get(name) or format_time(now) for name in ("endTimestamp", "startTimestamp"))
    wanted = {
        **state,
        "failed": True,
        "completed": True,
        "startTimestamp": started,
        "endTimestamp": ended,
        "failureReason": text(state.get("failureReason")) or reason,
    }
    return _replace_state(vmi, wanted, step=HandOffStep.MARK_FAILED)


def request_abort(vmi: VirtualMachineInstance) -> PatchMigrationState:
    """Ask the source's node agent to stop the copy."""
    return _replace_state(vmi, {**_seen(vmi), "abortRequested": True}, step=HandOffStep.ABORT)


def _seen(vmi: VirtualMachineInstance) -> dict[str, Any]:
    return dict(mapping(vmi.read_status().get(_STATE)))


def _replace_state(vmi: VirtualMachineInstance, state: Mapping[str, Any], *, step: HandOffStep) -> PatchMigrationState:
    return _patch(vmi, step=step, seen={_STATE: vmi.read_status().get(_STATE)}, wanted={_STATE: dict(state)})


def _patch(
    vmi: VirtualMachineInstance, *, step: HandOffStep, seen: Mapping[str, Any], wanted: Mapping[str, Any]
) -> PatchMigrationState:
    return PatchMigrationState(
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        step=step,
        seen=freeze(dict(seen)),
        wanted=freeze(dict(wanted)),
    )
