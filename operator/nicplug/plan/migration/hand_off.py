"""Telling the node agents: the hand-off, an abort, and that a migration has failed.

Each is one guarded patch of `status.migrationState`. Source: KubeVirt 1.9 `migration.go` (`handleTargetPodHandoff`,
`handleMarkMigrationFailedOnVMI`, `markMigrationAbortInVmiStatus`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nicplug.model.frozen_json import freeze, read_object
from nicplug.model.metadata import mapping, text
from nicplug.model.names import MIGRATION_TARGET_NODE_LABEL
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_record import LAUNCHER_PODS_MEMBER, PodRecord
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, CheckGuest, HandOffStep, Kind, PatchMigrationState, SetLabel
from nicplug.plan.vmi.state_patches import MIGRATION_STATE, patch_state, replace_state, seen_state

_PODS = "activePods"
TARGET_IS_DOWN = "Target pod is down"


def hand_off(
    vmi: VirtualMachineInstance,
    *,
    migration_uid: str,
    source: LauncherPod,
    target: LauncherPod,
    configuration: Mapping[str, Any],
    made: Iterable[PodRecord],
) -> tuple[Action, ...]:
    """Label first, then state.

    They are two writes, since the status of a VMI is a subresource here. The node agent of the target acts when it
    finds both. After a crash between them the state is not ours yet, so the next pass hands off again and finds the
    label right; the other way round the migration would look handed off, and nobody would be told.

    Args:
        made: the records of both pods.
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
    status = vmi.read_status()
    pods = status.get(_PODS)
    records = {record.uid: record.to_row() for record in (*(vmi.launcher_pods or ()), *made)}
    patch = patch_state(
        vmi,
        step=HandOffStep.HAND_OFF,
        seen={name: status.get(name) for name in (MIGRATION_STATE, "nodeName", _PODS, LAUNCHER_PODS_MEMBER)},
        wanted={
            MIGRATION_STATE: state,
            "nodeName": vmi.node_name,
            _PODS: {**mapping(pods), target.uid: target.node_name},
            LAUNCHER_PODS_MEMBER: list(records.values()),
        },
    )
    label = label_target_node(vmi, target.node_name)
    return (patch,) if label is None else (label, patch)


def check_guest(vmi: VirtualMachineInstance) -> CheckGuest:
    """Whether the guest and its migration are still what the cache says; another watch may have told more."""
    status = vmi.read_status()
    seen = {name: status.get(name) for name in ("nodeName", MIGRATION_STATE)}
    return CheckGuest(key=vmi.key, uid=vmi.uid, version=vmi.resource_version, seen=freeze(seen))


def label_target_node(vmi: VirtualMachineInstance, node: str) -> SetLabel | None:
    """By which the node agent of the target finds the VMI; None when it is there."""
    labels = read_object(vmi.labels)
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


def request_abort(vmi: VirtualMachineInstance) -> PatchMigrationState:
    """Ask the source's node agent to stop the copy."""
    return replace_state(vmi, {**seen_state(vmi), "abortRequested": True}, step=HandOffStep.ABORT)
