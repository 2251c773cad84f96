"""Patches that instruct the node agents: the hand-off, an abort, the failure of a migration.

Each is one guarded patch of `status.migrationState`. Source: KubeVirt 1.9 `migration.go` (`handleTargetPodHandoff`,
`handleMarkMigrationFailedOnVMI`, `markMigrationAbortInVmiStatus`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nicplug.model.frozen_json import freeze, read_object
from nicplug.model.metadata import mapping
from nicplug.model.migration import Migration
from nicplug.model.names import MIGRATION_TARGET_NODE_LABEL
from nicplug.model.pod import LAUNCHER_PODS_MEMBER, LauncherPod, PodRecord
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import (
    Action,
    CheckGuest,
    Delete,
    HandOffStep,
    Kind,
    PatchLabels,
    PatchMigrationState,
    check_unchanged,
    patch_label,
    patch_members,
)
from nicplug.plan.vmi.state_patches import MIGRATION_STATE, patch_state, replace_state, seen_state

_PODS, _INTERFACES = "activePods", "interfaces"
_GUEST = ("nodeName", MIGRATION_STATE)
TARGET_IS_DOWN = "Target pod is down"


def hand_off(
    vmi: VirtualMachineInstance,
    *,
    migration: Migration,
    source: LauncherPod,
    target: LauncherPod,
    configuration: Mapping[str, Any],
    made: Iterable[PodRecord],
) -> tuple[Action, ...]:
    """Set the label, check the migration, then write the state.

    They are two writes, since the status of a VMI is a subresource here. The node agent of the target acts when it
    finds both. After a crash between them the state is not ours yet, so the next pass hands off again and finds the
    correct label; in the other order the migration would look handed off, unknown to all node agents.

    The spec and the guest's NICs are those that the target pod was compared with (`plan.migration.target`). A go-ahead
    for another NIC tests that the VM was not handed off.

    Two leaders: one ends the migration, or replaces its target pod, while the other hands it off. The first deletes the
    pod, possibly after the guest has arrived there. It removes the label before that (`release_target`). So either the
    label was set after the migration had changed, and the check fails, or it is gone, and the state is not written.

    Args:
        made: the records of both pods.
        configuration: the settings of the migration; later edits of the KubeVirt CR do not change them.
    """
    state = {
        "migrationUid": migration.uid,
        "sourceNode": vmi.node_name,
        "sourcePod": source.key.name,
        "targetNode": target.node_name,
        "targetPod": target.key.name,
        "migrationConfiguration": dict(configuration),
    }
    # The node is only a guard: the guest is still where the source pod is. Virt-handler needs the uid of its pod to
    # find the launcher's socket before the VMI's own report arrives.
    status = vmi.status.members
    pods = status.get(_PODS)
    records = {record.uid: record.to_row() for record in (*(vmi.launcher_pods or ()), *made)}
    wanted = {
        MIGRATION_STATE: state,
        "nodeName": vmi.node_name,
        _PODS: {**mapping(pods), target.uid: target.node_name},
        LAUNCHER_PODS_MEMBER: list(records.values()),
        _INTERFACES: status.get(_INTERFACES),
    }
    patch = patch_state(
        vmi,
        step=HandOffStep.HAND_OFF,
        seen={name: status.get(name) for name in wanted},
        wanted=wanted,
        target_node=target.node_name,
        generation=vmi.generation,
    )
    label = label_target_node(vmi, target.node_name)
    return (*([label] if label is not None else ()), check_unchanged(migration), patch)


def check_guest(vmi: VirtualMachineInstance) -> CheckGuest:
    """Check that the guest and its migration are still as cached; another watch may be ahead."""
    status = vmi.status.members
    wanted = {name: status.get(name) for name in _GUEST}
    return patch_members(CheckGuest, vmi, present=status, wanted=wanted, version=vmi.resource_version)


def release_target(vmi: VirtualMachineInstance, *, node: str) -> CheckGuest | PatchLabels:
    """Check the guest and remove the target's label: no leader can then hand off an ended migration to that node."""
    if read_object(vmi.labels).get(MIGRATION_TARGET_NODE_LABEL) != node:
        return check_guest(vmi)
    status = vmi.status.members
    label = {MIGRATION_TARGET_NODE_LABEL: node}
    patch = patch_members(PatchLabels, vmi, present=label, wanted=dict.fromkeys(label), version=vmi.resource_version)
    return replace(patch, guards=freeze({f"/status/{name}": status.get(name) for name in _GUEST}))


def delete_target(vmi: VirtualMachineInstance, pod: LauncherPod) -> tuple[Action, ...]:
    """Delete a target pod that no guest may move to any more; this has been recorded already.

    Not if the pod has changed: its readiness gate is set when a guest arrives.
    """
    delete = Delete(kind=Kind.POD, key=pod.key, uid=pod.uid, version=pod.resource_version)
    return release_target(vmi, node=pod.node_name), delete


def label_target_node(vmi: VirtualMachineInstance, node: str) -> PatchLabels | None:
    """The label by which the target's node agent finds the VMI; None if it is set."""
    if read_object(vmi.labels).get(MIGRATION_TARGET_NODE_LABEL) == node:
        return None
    return patch_label(vmi, MIGRATION_TARGET_NODE_LABEL, node)


def request_abort(vmi: VirtualMachineInstance) -> PatchMigrationState:
    """Ask the source's node agent to stop the copy."""
    return replace_state(vmi, {**seen_state(vmi), "abortRequested": True}, step=HandOffStep.ABORT)
