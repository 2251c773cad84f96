"""The pod that runs the guest, how it is kept visible, and its readiness gate."""

from collections.abc import Iterable
from datetime import datetime

from nicplug.model.conditions import FALSE, PAUSED, TRUE, Row, is_true
from nicplug.model.frozen_json import freeze
from nicplug.model.keys import PodKey
from nicplug.model.migration import Migration
from nicplug.model.names import CREATED_BY_LABEL, LAUNCHER_LABEL, LAUNCHER_LABEL_VALUE, UNPAUSED_CONDITION
from nicplug.model.pod import LauncherPod, PodRecord
from nicplug.model.times import format_time
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import ConfirmPod, Kind, PatchLabels, PatchPodCondition
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.launcher_pod import launcher_pod_key, target_pod_key
from nicplug.plan.vmi.own_pods import first_pod_key, has_unrecorded_target, recorded_uids, target_key

# A guest has one pod, and two while it is migrated. Source: KubeVirt 1.9 `CurrentVMIPod`, which takes the newest pod
# on the VMI's node; here only pods that nicplug created count (`plan.vmi.own_pods`).


def active_pod(view: VmiView) -> LauncherPod | None:
    """The pod that runs the guest; None when it is not visible.

    The VMI's node decides, which the target's node agent changes when the guest has arrived. On that node it is the
    pod that the hand-off named, else the one that nicplug made, else the newest.

    The view contains only pods that nicplug created; owners and labels prove nothing (CVE-2025-64435).
    """
    expected, node = _expected(view), view.vmi.node_name
    on_node = [pod for pod in view.pods if not node or pod.node_name == node]
    found = next((pod for pod in on_node if pod.key == expected), None)
    if found is None or found.is_down_or_going:
        found = _arrived(view) or found
    is_reported = expected != first_pod_key(view, view.vmi)
    if found is not None and (is_reported or not found.is_down_or_going):
        return found
    # Anyone may have written another pod's name: once that pod is known not to exist, the name means nothing.
    if is_reported and not view.is_podless:
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
    """True for a migration's target while the pod that should run the guest is not visible: it may lack its labels.

    Without them nothing keeps a target off its node either (anti-affinity).
    """
    targets = {target_key(view, view.vmi, migration_uid=item.uid) for item in view.migrations}
    return pod.key in targets and all(item.key != expected for item in view.pods)


def has_moved_to(view: VmiView, pod: LauncherPod) -> bool:
    """True if the guest came to this pod by its last migration."""
    state = view.vmi.migration_state
    return pod.key.name == state.target_pod and not state.failed


def has_arrived(view: VmiView, pod: LauncherPod) -> bool:
    """True if the guest already runs in this pod, though the VMI's node is still the source."""
    found = _arrived(view)
    return found is not None and found.uid == pod.uid


def may_have_moved(view: VmiView) -> bool:
    """True if the guest may run in its target pod, and the target's node agent has not reported it yet."""
    return view.vmi.migration_state.is_active and _target(view) is not None


def confirm_pod(view: VmiView) -> ConfirmPod:
    """Look up a pod that is not visible: a lost label does not mean a lost guest.

    The other pods too: the expected name may be forged in the migration's state.
    """
    keys = (_expected(view), *_known_pods(view))
    return _confirm(view, tuple(dict.fromkeys(keys)))


def confirm_pods(view: VmiView) -> ConfirmPod:
    """Look up every pod that was ever created, as far as is known: none may outlive its VMI unseen."""
    return _confirm(view, _known_pods(view))


def restore_labels(pod: LauncherPod, *, vmi_uid: str) -> PatchLabels | None:
    """Restore labels that others removed.

    Without the one no watch reports the pod; by the other a migration keeps its target off the pod's node.
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
    """Names of all known pods of this VMI, existing or not."""
    state = vmi.migration_state
    recorded = [record.key for record in records]
    handed_off = (PodKey(vmi.key.namespace, name) for name in (state.source_pod, state.target_pod) if name)
    targets = (target_pod_key(vmi, migration_uid=item.uid) for item in migrations if has_unrecorded_target(item))
    return tuple(dict.fromkeys((*(recorded or [launcher_pod_key(vmi)]), *handed_off, *targets)))


def _known_pods(view: VmiView) -> tuple[PodKey, ...]:
    return known_pods(view.vmi, view.migrations, view.records)


def _confirm(view: VmiView, keys: tuple[PodKey, ...]) -> ConfirmPod:
    uids = recorded_uids(view.vmi, view.records)
    return ConfirmPod(keys=keys, owner=view.vmi.key, owner_uid=view.vmi.uid, uids=uids)


def _expected(view: VmiView) -> PodKey:
    """The pod that runs the guest according to VMI and hand-off; the first one until a migration says otherwise."""
    vmi, state = view.vmi, view.vmi.migration_state
    if not vmi.node_name or not state.migration_uid:
        return first_pod_key(view, vmi)
    is_at_target = vmi.node_name == state.target_node
    is_at_source = vmi.node_name == state.source_node
    if is_at_target and is_at_source:  # a target pod of another creator may be on the source's node
        is_at_source = not state.completed or state.failed
    if is_at_source and state.source_pod:
        return PodKey(vmi.key.namespace, state.source_pod)
    if is_at_target and state.target_pod:
        return PodKey(vmi.key.namespace, state.target_pod)
    return first_pod_key(view, vmi)


def _arrived(view: VmiView) -> LauncherPod | None:
    """The living target pod that has the guest: the end of the source pod no longer ends the guest."""
    state = view.vmi.migration_state
    return _target(view) if state.target_ready_at is not None and not state.failed else None


def _target(view: VmiView) -> LauncherPod | None:
    """The living pod that a VMI on its source's node is handed off to."""
    state = view.vmi.migration_state
    if view.vmi.node_name != state.source_node:
        return None
    named = (pod for pod in view.pods if pod.key.name == state.target_pod and pod.node_name == state.target_node)
    return next((pod for pod in named if not pod.is_down_or_going), None)


# A paused guest gets no traffic. Source: KubeVirt 1.9 `lifecycle.go`, `syncPausedConditionToPod`. KubeVirt writes the
# condition for every pod it sees; here it goes out with the go-ahead for the node agent, so that a start costs one
# write and is not slowed (docs/differences.md).


def plan_readiness(*, pod: LauncherPod, conditions: Iterable[Row], now: datetime) -> PatchPodCondition | None:
    """Set the pod's readiness condition according to whether the guest is paused.

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
