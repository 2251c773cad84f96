"""The condition `MigrationRequired`, as KubeVirt has it; what comes of it is in the records of the NICs.

Source: KubeVirt 1.9 `Evaluator.Evaluate` and `pkg/virt-controller/watch/vmi/lifecycle.go`, but by the choice of the
path instead of a timer.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from nicplug.model.conditions import (
    FALSE,
    MIGRATION_REQUIRED,
    TRUE,
    Condition,
    Row,
    drop_condition,
    find_condition,
    is_true,
    merge_condition,
)
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationType
from nicplug.plan.reasons import Reason

_DUE = "AutoMigrationDueToLiveUpdate"
_PENDING = "AutoMigrationPending"
# Only a migration would bring it, and something is in its way: a user may make one all the same.
_BLOCKED_MIGRATIONS = frozenset(
    {
        Reason.MIGRATION_FORBIDDEN,
        Reason.WORKLOAD_UPDATE_FORBIDS,
        Reason.NO_CANDIDATE_NODE,
        Reason.MIGRATION_FAILED,
    }
)
_IN_PLACE = frozenset({OperationType.PLUG, OperationType.UNPLUG})
# The guest is still to let it go, or the pod, moved to or not, has got it already.
_UP_TO_THE_GUEST = frozenset({Reason.WAITING_FOR_GUEST, Reason.WAITING_FOR_GUEST_RELEASE})


def with_migration_required(
    rows: Sequence[Row], *, operations: Iterable[InterfaceOperation], is_moving: bool, now: datetime
) -> list[dict[str, Any]]:
    """True while a NIC needs a migration, False while one waits for its pod, else not there.

    Once True it stays so until nothing is needed any more. While the VMI moves it is left alone: the target's node
    agent takes it away.
    """
    if is_moving:
        return [dict(row) for row in rows]
    needed = _is_needed(tuple(operations))
    if needed is None:
        return drop_condition(rows, MIGRATION_REQUIRED)
    if find_condition(rows, MIGRATION_REQUIRED) is not None and (is_true(rows, MIGRATION_REQUIRED) or not needed):
        return [dict(row) for row in rows]
    status, reason = (TRUE, _DUE) if needed else (FALSE, _PENDING)
    return merge_condition(rows, Condition(type=MIGRATION_REQUIRED, status=status, reason=reason), now=now)


def _is_needed(operations: tuple[InterfaceOperation, ...]) -> bool | None:
    pending = [item for item in operations if item.phase != "Ready"]
    if any(_waits_for_migration(item) or item.reason in _BLOCKED_MIGRATIONS for item in pending):
        return True
    waits = any(item.path == OperationPath.DYNAMIC and _waits_for_pod(item) for item in pending)
    return False if waits else None


def _waits_for_migration(operation: InterfaceOperation) -> bool:
    return operation.path == OperationPath.MIGRATION and operation.reason not in _UP_TO_THE_GUEST


def _waits_for_pod(operation: InterfaceOperation) -> bool:
    return operation.operation in _IN_PLACE and operation.reason not in _UP_TO_THE_GUEST
