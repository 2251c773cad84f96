"""Requests the migrations that a VMI's NICs need, and withdraws them when no NIC needs one any more.

A NIC needs a migration if the first rule that applies to it in `plan.nic.path.rules` says so and no check of the NIC
blocks it. This module decides when: no migration of the VMI is unfinished, and a batch window has passed since the last
change of its spec. `plan.nic.path.migration_history` decides which NICs share a migration, and when to give up.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from nicplug.model.frozen_json import freeze
from nicplug.model.keys import MigrationKey
from nicplug.model.migration import Migration
from nicplug.model.names import (
    KUBEVIRT_API_VERSION,
    MIGRATION_FINALIZER,
    MIGRATION_INTERFACES_ANNOTATION,
    MIGRATION_KIND,
    MIGRATION_VMI_LABEL,
    VMI_KIND,
    WORKLOAD_UPDATE_ANNOTATION,
    WORKLOAD_UPDATE_PREFIX,
)
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationType
from nicplug.model.vmi import VirtualMachineInstance, vmi_id
from nicplug.plan.actions import Create, Delete, Kind, PatchAnnotations
from nicplug.plan.nic.path.blame import changes_of, format_changes, is_same_change
from nicplug.plan.nic.records import NicReport
from nicplug.plan.outcome import Plan, Subject, normal
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.moving import brings_unwanted, is_moving, leaves_its_pod

# The condition `MigrationRequired`, as KubeVirt has it; its outcome is in the records of the NICs.
#
# Source: KubeVirt 1.9 `Evaluator.Evaluate` and `pkg/virt-controller/watch/vmi/lifecycle.go`, but by the choice of the
# path instead of a timer.

_DUE = "AutoMigrationDueToLiveUpdate"
_PENDING = "AutoMigrationPending"
# Only a migration would plug it, and something prevents that: a user may create one all the same.
_BLOCKED_MIGRATIONS = frozenset(
    {
        Reason.MIGRATION_FORBIDDEN,
        Reason.WORKLOAD_UPDATE_FORBIDS,
        Reason.NO_CANDIDATE_NODE,
        Reason.MIGRATION_FAILED,
    }
)
_IN_PLACE = frozenset({OperationType.PLUG, OperationType.UNPLUG})
# The guest has not unplugged it yet, or the pod, moved to or not, already has it.
_UP_TO_THE_GUEST = frozenset({Reason.WAITING_FOR_GUEST, Reason.WAITING_FOR_GUEST_RELEASE})


def with_migration_required(
    rows: Sequence[Row], *, operations: Iterable[InterfaceOperation], is_moving: bool, now: datetime
) -> list[dict[str, Any]]:
    """Set `MigrationRequired`: True while a NIC needs a migration, False while one waits for its pod, else absent.

    Once True it stays so until no NIC needs one. It is not changed while the VMI moves: the target's node agent
    removes it.
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


# Migrations that nicplug creates so that a running VM gets what its spec requests.
#
# Source: KubeVirt 1.9 `pkg/virt-controller/watch/workload-updater`: its names, annotation and priority. The label and
# the finalizer, which its webhook adds to every migration, are set on creation.

_NAME_DIGITS = 10
_FIRST = "first"


def migration_key(vmi: VirtualMachineInstance, *, cause: str, prefix: str = WORKLOAD_UPDATE_PREFIX) -> MigrationKey:
    """`<prefix><10 hex>`: a repeated POST for one cause meets its own migration instead of creating a second one.

    Args:
        cause: purpose and attempt; another attempt gets another name.
    """
    digits = hashlib.sha256(f"{vmi.uid}/{cause}".encode()).hexdigest()[:_NAME_DIGITS]
    return MigrationKey(vmi.key.namespace, f"{prefix}{digits}")


def next_cause(view: VmiView, *, prefix: str) -> str:
    """The cause that the name derives from: the migration that this one follows.

    Not the NICs that it is for: two leaders may know different NICs, and would create two. Creation times have whole
    seconds, so the last of two is the one that none was created after: the other one's successor has that name
    already. Nor whether one of ours still carries our mark: two leaders may differ on that too, and its name is taken.
    """
    taken = {item.key for item in view.migrations}
    newest_first = view.migrations[::-1]
    ours = [item for item in newest_first if _has_our_name(item, vmi_uid=view.vmi.uid, prefix=prefix)]
    others = [item for item in newest_first if item not in ours]
    # One more than there are migrations, so that one is free whatever their names.
    causes = (*(f"after {item.uid}" for item in ours), _FIRST, *(f"after {item.uid}" for item in others))
    return next((item for item in causes if migration_key(view.vmi, cause=item, prefix=prefix) not in taken), _FIRST)


def _has_our_name(migration: Migration, *, vmi_uid: str, prefix: str) -> bool:
    """True if its name is one of ours: it is ours, even if others removed our marks, or it takes up the name."""
    return migration.key.name.startswith(prefix) and migration.owner_vmi_uid in ("", vmi_uid)


def create_migration(
    vmi: VirtualMachineInstance, *, cause: str, prefix: str, priority: str, annotations: Mapping[str, str]
) -> Create:
    """Render the POST of a migration of this VMI; see `migration_key`.

    Unlike KubeVirt's, it has the VMI's uid as its owner, so it can move no later VMI of the same name.

    Args:
        priority: its place in the queue; "" for the default.
    """
    key = migration_key(vmi, cause=cause, prefix=prefix)
    owner: dict[str, Any] = {
        "apiVersion": KUBEVIRT_API_VERSION,
        "kind": VMI_KIND,
        "name": vmi.key.name,
        "uid": vmi.uid,
        "controller": True,
    }
    body = {
        "apiVersion": KUBEVIRT_API_VERSION,
        "kind": MIGRATION_KIND,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {MIGRATION_VMI_LABEL: vmi_id(vmi.key.name)},
            "annotations": dict(annotations),
            "finalizers": [MIGRATION_FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": {"vmiName": vmi.key.name, **({"priority": priority} if priority else {})},
    }
    return Create(kind=Kind.MIGRATION, key=key, owner_uid=vmi.uid, body=freeze(body))


# Source: KubeVirt 1.9 `pkg/virt-controller/watch/workload-updater`: its objects and its events, but at once and per
# VMI. A migration created for one NIC serves all: the target pod is rendered from the then present spec.

# However long NICs are added one by one, the first waits no longer than this number of windows.
_LONGEST_WAIT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why the migration that a NIC needs is not created yet.

    Attributes:
        message: what it waits for, as a clause.
        until: when that ends by itself; None if unknown.
    """

    reason: Reason
    message: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationPlan(Plan):
    """Changes to the migrations of a VMI that its NICs need.

    Attributes:
        held: the NICs whose migration has to wait. Always empty in standalone mode, where the migration waits itself.
    """

    held: Mapping[str, Hold] = field(default_factory=dict)


def plan_migration_request(view: VmiView, report: NicReport, *, now: datetime) -> MigrationPlan:
    """Compare what the NICs of a running VMI want with its migrations: at most one is created."""
    under_way = [item for item in view.migrations if not item.is_final]
    if not report.wanting:
        return withdraw(view, under_way)
    if under_way:
        if doomed := [item for item in under_way if item.is_stuck and brings_unwanted(view)]:
            return withdraw(view, doomed)
        changes = (_with_what_it_is_for(item, view, report) for item in _waiting(view, under_way))
        return MigrationPlan(actions=tuple(item for item in changes if item is not None))
    if is_moving(view):
        return MigrationPlan()  # by a migration that does not exist: its end, or that of its target pod, comes first
    due = due_at(view, report)
    if now < due:
        return MigrationPlan(again_at=due)
    return _make(view, report)


def due_at(view: VmiView, report: NicReport) -> datetime:
    """A moment after the last change of the spec, so that NICs requested by two commands share one migration."""
    window = view.settings.batch_window
    oldest = min(item.start_time for item in report.operations if item.name in report.wanting)
    return min(view.spec_seen_at + window, oldest + _LONGEST_WAIT * window)


def _waiting(view: VmiView, under_way: list[Migration]) -> list[Migration]:
    """Our migrations that may get another target pod: they include whatever is requested until then.

    Not one that the node agents have finished, though its own status does not say so yet: it would be reported as
    failed for a NIC that it was never to plug.
    """
    if leaves_its_pod(view):
        return []
    over = view.vmi.migration_state.migration_uid
    own = [item for item in under_way if item.is_workload_update(vmi_uid=view.vmi.uid)]
    return [item for item in own if not item.deleting and item.uid != over]


def _with_what_it_is_for(migration: Migration, view: VmiView, report: NicReport) -> PatchAnnotations | None:
    """Update the NICs that it is for: one added or corrected, so that an earlier failure delays it no longer.

    Or one removed: its failure is attributed to the NICs that it names.
    """
    known = changes_of(migration)
    # Keep what a target pod was created for: its failure is attributed to that, or to the additions of the pod that
    # replaces it.
    wanting = {**report.wanting, **known} if is_moving(view) else report.wanting
    if known.keys() == wanting.keys() and all(
        is_same_change(known.get(name, ""), change) for name, change in wanting.items()
    ):
        return None
    return PatchAnnotations(
        kind=Kind.MIGRATION,
        key=migration.key,
        uid=migration.uid,
        seen=freeze({MIGRATION_INTERFACES_ANNOTATION: migration.annotation(MIGRATION_INTERFACES_ANNOTATION)}),
        wanted=freeze({MIGRATION_INTERFACES_ANNOTATION: format_changes(wanting)}),
    )


def _make(view: VmiView, report: NicReport) -> MigrationPlan:
    create = create_workload_update(
        view.vmi, cause=next_cause(view, prefix=WORKLOAD_UPDATE_PREFIX), nics=report.wanting
    )
    message = f"Created Migration {create.key.name} for automated workload update"
    announcements = (normal(Subject.VMI, "SuccessfulCreate", message),)
    return MigrationPlan(actions=(create,), announcements=announcements)


def create_workload_update(vmi: VirtualMachineInstance, *, cause: str, nics: Mapping[str, str]) -> Create:
    """Render the POST of a migration that plugs NICs.

    Args:
        nics: what it is for: the NICs, and the fingerprints of their changes (`plan.nic.path.blame`).
    """
    annotations = {WORKLOAD_UPDATE_ANNOTATION: "", MIGRATION_INTERFACES_ANNOTATION: format_changes(nics)}
    return create_migration(
        vmi,
        cause=cause,
        prefix=WORKLOAD_UPDATE_PREFIX,
        priority="user-triggered",  # before maintenance, behind what keeps the cluster alive
        annotations=annotations,
    )


def withdraw(view: VmiView, under_way: list[Migration]) -> MigrationPlan:
    """Withdraw migrations that no node agent has yet.

    Not because of a refused write for the VM: that hides what the NICs want.
    """
    if view.vm_refusal is not None:
        return MigrationPlan()
    found = [item for item in under_way if _may_be_withdrawn(item, view)]
    return MigrationPlan(
        actions=tuple(Delete(kind=Kind.MIGRATION, key=item.key, uid=item.uid) for item in found),
        announcements=tuple(
            normal(Subject.VMI, "SuccessfulChangeAbortion", f"Aborted change for vmi: {view.vmi.key.name}")
            for _ in found
        ),
    )


def _may_be_withdrawn(migration: Migration, view: VmiView) -> bool:
    # A migration observed late may not report yet that it has been handed off, or is over: the VMI reports it first.
    is_with_agents = migration.is_handed_off or view.vmi.migration_state.migration_uid == migration.uid
    return migration.is_workload_update(vmi_uid=view.vmi.uid) and not migration.deleting and not is_with_agents
