"""The status of a migration as it shall be: phase, conditions, and what the VMI's status says about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nicplug.model.conditions import PROGRESSING, TRUE, Condition, Row, drop_condition, merge_condition
from nicplug.model.metadata import objects
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.times import format_time
from nicplug.plan.migration.ending import Progress
from nicplug.plan.migration.facts import Facts
from nicplug.plan.migration.ladder import ABORT_REQUESTED
from nicplug.plan.reasons import Reason

REJECTED_BY_QUOTA = "migrationRejectedByResourceQuota"
# The spec of a migration never changes.
_GENERATION = 1
_WITHOUT_POD = (MigrationPhase.UNSET, MigrationPhase.PENDING)


def with_conditions(
    migration: Migration, progress: Progress, *, phase: MigrationPhase, is_aborted: bool, now: datetime
) -> list[dict[str, Any]]:
    """nicplug's condition, and KubeVirt's two that it has a use for."""
    rows: Sequence[Row] = objects(migration.read_status().get("conditions"))
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
    """The last of the phases entered, and when each was for the first time."""
    if not entered:
        return {}
    rows = [dict(row) for row in objects(migration.read_status().get("phaseTransitionTimestamps"))]
    known = {row.get("phase") for row in rows}
    new = [phase for phase in entered if phase not in known]
    rows += [{"phase": str(phase), "phaseTransitionTimestamp": format_time(now)} for phase in new]
    return {"phase": str(entered[-1]), "phaseTransitionTimestamps": rows}


def copied_state(facts: Facts) -> Mapping[str, Any]:
    """The VMI's migration state, while it is about this migration."""
    if facts.vmi is None or not facts.is_ours:
        return {}
    return {"migrationState": facts.vmi.read_status().get("migrationState")}
