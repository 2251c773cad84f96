"""Phases of a migration: the checks that fail it, the transitions that facts allow, and its status."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nicplug.model.conditions import (
    PROGRESSING,
    TRUE,
    Condition,
    Row,
    drop_condition,
    find_condition,
    merge_condition,
)
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.plan.checks import first_result
from nicplug.plan.migration.eligibility import refuse_second
from nicplug.plan.migration.facts import CANCELED, Ending, MigrationFacts, Progress
from nicplug.plan.migration.timeouts import give_up_pod
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView

# Source: KubeVirt 1.9 `migration.go` (`updateStatus`): rows in its order, except row 9, with its texts. Row 11, the
# attachment pod of hot-plugged volumes, has no counterpart: nicplug creates no such pods.

ABORT_REQUESTED = "migrationAbortRequested"
_WAITING_FOR_POD = (MigrationPhase.PENDING, MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED)


def find_ending(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Ending | None:
    """Find the reason why an accepted migration fails now; None if it continues."""
    return first_result(_ENDINGS, view, facts, now)


def _vmi_lost(_view: MigrationView, facts: MigrationFacts, _now: datetime) -> Ending | None:
    """Rows 2 and 3: the VMI is gone."""
    if facts.vmi is None:
        event = "Migration failed because vmi does not exist."
        message = f"{event} A later VMI of its name is not moved." if facts.is_replaced else ""
        return Ending(reason=Reason.VMI_MISSING, event=event, message=message)
    if facts.vmi.is_final:
        event = "Migration failed vmi shutdown during migration."
        return Ending(reason=Reason.VMI_FINAL, event=event)
    return None


def _cancelled(_view: MigrationView, facts: MigrationFacts, _now: datetime) -> Ending | None:
    """Row 4: cancelled."""
    if not facts.migration.deleting or facts.migration.is_handed_off or facts.is_handed_off:
        return None
    return CANCELED


def _pod_lost(_view: MigrationView, facts: MigrationFacts, _now: datetime) -> Ending | None:
    """Rows 5 and 6: the pod is gone. Before the copy begins, a pod that is being deleted counts as gone."""
    pod, phase = facts.target, facts.migration.phase
    if pod is not None and pod.is_down:
        event = "Migration failed because target pod shutdown during migration"
        why = f": {pod.ending.reason}: {pod.ending.message}" if pod.ending is not None else ""
        return Ending(reason=Reason.TARGET_POD_LOST, event=event, message=f"{event}: {pod.key.name} has ended{why}")
    is_going = pod is not None and pod.deleting and phase is not MigrationPhase.RUNNING
    if facts.migration.has_target and (pod is None or is_going):
        event = "Migration target pod was removed during active migration."
        return Ending(reason=Reason.TARGET_POD_LOST, event=event)
    return None


def _state_lost(_view: MigrationView, facts: MigrationFacts, _now: datetime) -> Ending | None:
    """Rows 7 and 8: the migration state is gone."""
    state = facts.state
    if facts.migration.is_handed_off and not state.migration_uid:
        event = "VMI's migration state was cleared during the active migration."
        return Ending(reason=Reason.MIGRATION_STATE_LOST, event=event)
    if facts.migration.is_handed_off and not facts.is_handed_off:
        event = "VMI's migration state was taken over by another migration job during active migration."
        return Ending(reason=Reason.MIGRATION_STATE_LOST, event=event)
    return None


def _reported_failed(_view: MigrationView, facts: MigrationFacts, _now: datetime) -> Ending | None:
    """Row 9, before row 5: after a failure the target's virt-launcher exits by itself, which is not the cause."""
    state = facts.state
    if not facts.is_ours or not state.failed:
        return None
    event = "source node reported migration failed"
    message = f"{event}: {state.failure_reason}" if state.failure_reason else event
    reason = Reason.MIGRATION_CANCELED if facts.migration.deleting else Reason.MIGRATION_FAILED
    return Ending(reason=reason, event=event, message=message)


def _forged_end(_view: MigrationView, facts: MigrationFacts, _now: datetime) -> Ending | None:
    """Reject a forged end: the target's node agent reports the guest's node before it writes `completed`."""
    state, vmi = facts.state, facts.vmi
    if not facts.is_ours or not state.completed or state.target_ready_at is not None:
        return None
    if vmi is None or vmi.node_name == state.target_node:
        return None
    event = f"VMI's migration state says completed, while the VM is still on {vmi.node_name}"
    return Ending(reason=Reason.MIGRATION_STATE_LOST, event=event)


def _failed_before_hand_off(view: MigrationView, facts: MigrationFacts, now: datetime) -> Ending | None:
    """Give up before the node agents have it: another migration goes first, or the target pod has timed out."""
    if facts.is_handed_off or facts.migration.is_handed_off:
        return None
    if (second := refuse_second(view, facts)) is not None:
        return second
    pod, vmi = facts.target, facts.vmi
    if pod is not None and vmi is not None and pod.node_name and pod.node_name == vmi.node_name:
        message = f"target pod {pod.key.name} was put on {pod.node_name}, which runs the VM"
        return Ending(reason=Reason.NO_CANDIDATE_NODE, event=message)
    return give_up_pod(facts, now=now) if facts.migration.phase in _WAITING_FOR_POD else None


_ENDINGS = (_vmi_lost, _cancelled, _reported_failed, _pod_lost, _state_lost, _forged_end, _failed_before_hand_off)


def steps(facts: MigrationFacts) -> list[MigrationPhase]:
    """The phases to enter now, in order; several if the facts are ahead of the status."""
    entered: list[MigrationPhase] = []
    phase = facts.migration.phase
    while (following := _next(phase, facts)) is not None:
        entered.append(following)
        phase = following
    return entered


def _next(phase: MigrationPhase, facts: MigrationFacts) -> MigrationPhase | None:
    pod, state = facts.target, facts.state
    match phase:
        case MigrationPhase.PENDING if pod is not None:
            return MigrationPhase.SCHEDULING
        case MigrationPhase.SCHEDULING if pod is not None and (pod.is_ready or facts.is_handed_off):
            return MigrationPhase.SCHEDULED
        case MigrationPhase.SCHEDULED if facts.is_handed_off:
            return MigrationPhase.PREPARING_TARGET
        case MigrationPhase.PREPARING_TARGET if facts.is_ours and state.target_address:
            return MigrationPhase.TARGET_READY
        case MigrationPhase.TARGET_READY if facts.is_ours and state.started_at is not None:
            return MigrationPhase.RUNNING
        case MigrationPhase.RUNNING if is_complete(facts):
            return MigrationPhase.SUCCEEDED
        case _:
            return None


def is_complete(facts: MigrationFacts) -> bool:
    """True if the guest runs on the target, and nothing that the migration was for is still wanted.

    The node must match as well: the target's node agent writes it before `completed`; one without the other is forged.
    """
    state, vmi = facts.state, facts.vmi
    is_done = facts.is_ours and state.completed and not state.failed
    return vmi is not None and is_done and vmi.node_name == state.target_node and not still_wanted(facts)


def still_wanted(facts: MigrationFacts) -> str:
    """The VMI's condition that a finished migration should have removed; "" for none.

    Not MigrationRequired, which KubeVirt checks too: the target's node agent removes it before `completed`. If it is
    True again, a NIC needs the next migration, which cannot be created before this one ends.
    """
    if facts.vmi is None:
        return ""
    if find_condition(facts.vmi.status.conditions, "HotVCPUChange") is not None:
        return "HotVCPUChange"
    return "HotMemoryChange" if facts.vmi.status.is_true("HotMemoryChange") else ""


REJECTED_BY_QUOTA = "migrationRejectedByResourceQuota"
# The spec of a migration never changes.
_GENERATION = 1
_WITHOUT_POD = (MigrationPhase.UNSET, MigrationPhase.PENDING)


def with_conditions(
    migration: Migration, progress: Progress, *, phase: MigrationPhase, is_aborted: bool, now: datetime
) -> list[dict[str, Any]]:
    """nicplug's condition, and the two of KubeVirt's that it uses."""
    rows: Sequence[Row] = migration.status.conditions
    rows = merge_condition(
        rows,
        Condition(
            type=PROGRESSING,
            status=progress.status,
            reason=progress.reason,
            message=progress.message,
            observed_generation=_GENERATION,
        ),
        now=now,
    )
    if is_aborted:
        rows = merge_condition(rows, Condition(type=ABORT_REQUESTED, status=TRUE), now=now)
    if progress.reason == Reason.REJECTED_BY_QUOTA:
        return merge_condition(rows, Condition(type=REJECTED_BY_QUOTA, status=TRUE), now=now)
    return [dict(row) for row in rows] if phase in _WITHOUT_POD else drop_condition(rows, REJECTED_BY_QUOTA)


def with_phases(migration: Migration, entered: Sequence[MigrationPhase], *, now: datetime) -> dict[str, Any]:
    """The last of the phases entered, and when each was first entered."""
    if not entered:
        return {}
    times = migration.status.with_phase_times(entered, now=now)
    return {"phase": str(entered[-1]), "phaseTransitionTimestamps": times}


def copied_state(facts: MigrationFacts) -> Mapping[str, Any]:
    """The VMI's migration state, while it is about this migration."""
    if facts.vmi is None or not facts.is_ours:
        return {}
    return {"migrationState": facts.vmi.status.members.get("migrationState")}
