"""Which pod runs the guest, what keeps it in sight, and its readiness gate."""

from collections.abc import Iterable
from datetime import datetime

from nicplug.model.conditions import FALSE, PAUSED, TRUE, Row, is_true
from nicplug.model.frozen_json import freeze
from nicplug.model.keys import PodKey
from nicplug.model.migration import Migration, MigrationState
from nicplug.model.names import CREATED_BY_LABEL, LAUNCHER_LABEL, LAUNCHER_LABEL_VALUE, UNPAUSED_CONDITION
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_record import PodRecord
from nicplug.model.times import format_time
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import ConfirmPod, Kind, PatchLabels, PatchPodCondition
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.launcher_pod import launcher_pod_key, target_pod_key
from nicplug.plan.vmi.own_pods import first_pod_key, has_unrecorded_target, recorded_uids, target_key

# Which pod runs the guest, and what keeps it in sight.
#
# A guest has one pod, and two while it is migrated. Source: KubeVirt 1.9 `CurrentVMIPod`, which takes the newest pod
# on the VMI's node; here only a pod counts that nicplug has made (`plan.vmi.own_pods`).


def active_pod(view: VmiView) -> LauncherPod | None:
    """The pod that runs the guest; None when it is not in sight.

    The VMI's node decides, which the target's node agent changes when the guest has arrived. On that node it is the
    pod that the hand-off named, else the one that nicplug made, else the newest.

    That nicplug has made them was seen to when the view was gathered; owners and labels prove nothing
    (CVE-2025-64435).
    """
    state = _state(view)
    expected, node = _expected(view, state), view.vmi.node_name
    on_node = [pod for pod in view.pods if not node or pod.node_name == node]
    found = next((pod for pod in on_node if pod.key == expected), None)
    if found is None or found.is_down_or_going:
        found = _arrived(view, state) or found
    is_told = expected != first_pod_key(view, view.vmi)
    if found is not None and (is_told or not found.is_down_or_going):
        return found
    # Somebody may have written another pod's name: once it is known not to exist, it tells nothing.
    if is_told and not view.is_podless:
        return None
    known = set(_known_pods(view))
    candidates = [pod for pod in on_node if pod.key in known or node]
    by_age = sorted(
        candidates,
        key=lambda pod: (pod.key in known, not pod.is_down_or_going, pod.created is not None, pod.created, pod.key),
    )
    if not by_age or (_is_guess(by_age[-1], view, expected=expected) and not view.is_podless):
        return None
    return by_age[-1]


def _is_guess(pod: LauncherPod, view: VmiView, *, expected: PodKey) -> bool:
    """A migration's target, while the pod that the guest should be in is out of sight: it may have lost its labels.

    Without them nothing keeps a target off its node either (anti-affinity).
    """
    targets = {target_key(view, view.vmi, migration_uid=item.uid) for item in view.migrations}
    return pod.key in targets and all(item.key != expected for item in view.pods)


def has_moved_to(view: VmiView, pod: LauncherPod) -> bool:
    """The guest came to this pod by its last migration."""
    state = _state(view)
    return pod.key.name == state.target_pod and not state.failed


def has_arrived(view: VmiView, pod: LauncherPod) -> bool:
    """The guest runs in this pod already, though the VMI's node is still the one that it came from."""
    found = _arrived(view, _state(view))
    return found is not None and found.uid == pod.uid


def may_have_moved(view: VmiView) -> bool:
    """The guest may run in its target pod, and the target's node agent has still to say so."""
    state = _state(view)
    return state.is_active and _target(view, state) is not None


def confirm_pod(view: VmiView) -> ConfirmPod:
    """Ask for the pod that is not in sight: losing a label is not losing a guest.

    For the others too: the name that is expected may be somebody's invention, written into the migration's state.
    """
    keys = (_expected(view, _state(view)), *_known_pods(view))
    return _confirm(view, tuple(dict.fromkeys(keys)))


def confirm_pods(view: VmiView) -> ConfirmPod:
    """Ask for every pod that was ever made, as far as is known: none may outlive its VMI unseen."""
    return _confirm(view, _known_pods(view))


def restore_labels(pod: LauncherPod, *, vmi_uid: str) -> PatchLabels | None:
    """Put the labels back that somebody took away.

    Without the one no watch tells about the pod; by the other one a migration keeps its target off the pod's node.
    """
    seen = {LAUNCHER_LABEL: pod.label, CREATED_BY_LABEL: pod.created_by}
    wanted = {LAUNCHER_LABEL: LAUNCHER_LABEL_VALUE, CREATED_BY_LABEL: vmi_uid}
    lost = [name for name in wanted if seen[name] != wanted[name]]
    if not lost:
        return None
    return PatchLabels(
        kind=Kind.POD,
        key=pod.key,
        uid=pod.uid,
        seen=freeze({name: seen[name] for name in lost} if pod.has_labels else None),
        wanted=freeze({name: wanted[name] for name in lost}),
    )


def known_pods(
    vmi: VirtualMachineInstance, migrations: Iterable[Migration], records: Iterable[PodRecord]
) -> tuple[PodKey, ...]:
    """The names of all pods of this VMI that we know of, whether or not they exist.

    Args:
        migrations: those that name the VMI.
        records: of the pods that nicplug has made, as far as it has kept a record.
    """
    state = vmi.migration_state
    recorded = [record.key for record in records]
    handed_off = (PodKey(vmi.key.namespace, name) for name in (state.source_pod, state.target_pod) if name)
    targets = (target_pod_key(vmi, migration_uid=item.uid) for item in migrations if has_unrecorded_target(item))
    return tuple(dict.fromkeys((*(recorded or [launcher_pod_key(vmi)]), *handed_off, *targets)))


def _known_pods(view: VmiView) -> tuple[PodKey, ...]:
    return known_pods(view.vmi, view.migrations, view.records)


def _confirm(view: VmiView, keys: tuple[PodKey, ...]) -> ConfirmPod:
    uids = recorded_uids(view, view.vmi)
    return ConfirmPod(keys=keys, owner=view.vmi.key, owner_uid=view.vmi.uid, uids=uids)


def _expected(view: VmiView, state: MigrationState) -> PodKey:
    """The pod that runs the guest by what VMI and hand-off say; the first one until a migration says otherwise."""
    vmi = view.vmi
    if not vmi.node_name or not state.migration_uid:
        return first_pod_key(view, vmi)
    is_at_target = vmi.node_name == state.target_node
    is_at_source = vmi.node_name == state.source_node
    if is_at_target and is_at_source:  # nothing keeps a target that somebody else made off the source's node
        is_at_source = not state.completed or state.failed
    if is_at_source and state.source_pod:
        return PodKey(vmi.key.namespace, state.source_pod)
    if is_at_target and state.target_pod:
        return PodKey(vmi.key.namespace, state.target_pod)
    return first_pod_key(view, vmi)


def _arrived(view: VmiView, state: MigrationState) -> LauncherPod | None:
    """The living target pod that has the guest: the source's end is the guest's no more."""
    return _target(view, state) if state.target_ready_at is not None and not state.failed else None


def _target(view: VmiView, state: MigrationState) -> LauncherPod | None:
    """The living pod that a VMI on its source's node is handed off to."""
    if view.vmi.node_name != state.source_node:
        return None
    named = (pod for pod in view.pods if pod.key.name == state.target_pod and pod.node_name == state.target_node)
    return next((pod for pod in named if not pod.is_down_or_going), None)


def _state(view: VmiView) -> MigrationState:
    return view.vmi.migration_state


# The readiness gate of a launcher pod: a paused guest gets no traffic.
#
# Source: KubeVirt 1.9 `lifecycle.go`, `syncPausedConditionToPod`. KubeVirt writes it for every pod it sees; here it
# goes out with the go-ahead for the node agent, so that a start costs one write and is not slowed
# (docs/differences.md).


def plan_readiness(*, pod: LauncherPod, conditions: Iterable[Row], now: datetime) -> PatchPodCondition | None:
    """Bring the pod's condition in line with whether the guest is paused.

    Args:
        conditions: of the VMI; `Paused` is the node agent's.
    """
    if not pod.has_unpaused_gate or not pod.is_ready:
        return None
    is_open = pod.unpaused is not None and pod.unpaused.status == TRUE
    is_paused = is_true(conditions, PAUSED)
    if is_paused != is_open:
        return None
    status, reason, message = (
        (FALSE, "Paused", "the virtual machine is paused")
        if is_paused
        else (TRUE, "NotPaused", "the virtual machine is not paused")
    )
    row = {
        "type": UNPAUSED_CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": format_time(now),
    }
    known = pod.unpaused
    return PatchPodCondition(
        key=pod.key,
        uid=pod.uid,
        condition=freeze(row),
        index=known.position if known is not None else None,
        seen=freeze(known.status) if known is not None else pod.conditions,
    )
