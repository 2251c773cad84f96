"""Which pods nicplug has made, and what becomes of those that nobody answers for."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from nicplug.model.keys import PodKey
from nicplug.model.migration import Migration, MigrationPhase, MigrationState
from nicplug.model.names import MIGRATION_FINALIZER
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_record import PodRecord
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, CheckUnchanged, Create, Delete, Kind
from nicplug.plan.outcome import Announcement, Plan, Subject, normal, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView, VmiView
from nicplug.plan.vmi.launcher_pod import launcher_pod_key, target_pod_key

# Which pods nicplug has made: the only ones that run a guest, or that a guest moves to (docs/adr/0019).
#
# A pod's name, labels, annotations and owner are chosen by its creator. A pod counts by its uid alone: when the
# status of its VMI or migration records it, or when the API server has answered this very process that it has created
# it.

_DIGEST = re.compile("[0-9a-f]{16}")
# The hand-off, which comes next, writes the uid of the target into the VMI, in every version.
_BEFORE_HAND_OFF = frozenset({MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED})


def sort_out(
    vmi: VirtualMachineInstance,
    owned: Sequence[LauncherPod],
    *,
    migrations: Sequence[Migration],
    records: Sequence[PodRecord],
) -> tuple[tuple[LauncherPod, ...], tuple[LauncherPod, ...]]:
    """The pods that nicplug has made, and those that somebody else has made, or nobody knows who.

    Args:
        owned: the pods that name the VMI as their controller.
        migrations: those that name the VMI.
        records: from `model.pod_records`.
    """
    uids = {record.uid for record in records if not record.is_replaced}
    own = tuple(pod for pod in owned if pod.uid in uids)
    if len(own) == len(owned):
        return own, ()
    if has_no_record(vmi, records):
        uids |= _taken_over(vmi, owned)
    targets = {target_pod_key(vmi, migration_uid=item.uid): item for item in migrations if has_unrecorded_target(item)}
    counted = _counted(vmi, records)
    uids |= {pod.uid for pod in owned if pod.key in targets and _is_target(pod, targets[pod.key], counted=counted)}
    own = tuple(pod for pod in owned if pod.uid in uids)
    return own, tuple(pod for pod in owned if pod not in own)


def has_no_record(vmi: VirtualMachineInstance, records: Iterable[PodRecord]) -> bool:
    """A version of nicplug that keeps no record was the last to write which pods the VMI has.

    This version writes the record with the first phase that has a pod, and never an active pod that is not in it.
    """
    if vmi.is_unprocessed:
        return False
    if vmi.launcher_pods is None:  # one that was deleted before it had a pod is final without any
        return bool(vmi.active_pods) or not vmi.is_final
    return not vmi.active_pods <= {record.uid for record in records}


def has_unrecorded_target(migration: Migration) -> bool:
    """The same of a migration: its target pod is recorded with the phase that says that there is one.

    One that is through with its pods has none left. The guest's pod is named by the VMI; the name of any other one is
    free for everybody, for as long as somebody keeps the migration to read it.
    """
    if migration.target_pod is not None or not migration.has_target:
        return False
    if migration.phase is MigrationPhase.FAILED and migration.entered_at(MigrationPhase.SCHEDULING) is None:
        return False
    return not migration.is_let_go


def _is_target(pod: LauncherPod, migration: Migration, *, counted: frozenset[str] | None) -> bool:
    """A pod that has the name of an unrecorded target is that target, as far as it can be known."""
    return migration.phase in _BEFORE_HAND_OFF or counted is None or pod.uid in counted


def _taken_over(vmi: VirtualMachineInstance, owned: Sequence[LauncherPod]) -> set[str]:
    """The pods of a guest that was started without a record: by name, as the version that started it went by.

    Only among those that its status counts: nobody can add one after that version has gone.
    """
    state = vmi.migration_state
    names = {launcher_pod_key(vmi).name, state.source_pod, state.target_pod}
    counted = [pod for pod in owned if not vmi.active_pods or pod.uid in vmi.active_pods]
    named = [pod for pod in counted if pod.key.name in names]
    if not any(pod.node_name == vmi.node_name for pod in named):
        # It has moved by a migration that nothing tells of any more.
        named += [pod for pod in counted if pod.node_name == vmi.node_name]
    return {pod.uid for pod in named}


def first_pod_key(view: VmiView | MigrationView, vmi: VirtualMachineInstance) -> PodKey:
    """The pod that was made to start the guest; its name, if it is still to be made."""
    present = {pod.uid for pod in view.pods}
    firsts = [record for record in view.records if not record.migration_uid]
    found = [record.key for record in firsts if record.uid in present] or [record.key for record in firsts]
    return found[0] if found else launcher_pod_key(vmi)


def target_key(view: VmiView | MigrationView, vmi: VirtualMachineInstance, *, migration_uid: str) -> PodKey:
    """The pod that was made for a migration; its name, if it is still to be made."""
    present = {pod.uid for pod in view.pods}
    targets = [record for record in view.records if record.migration_uid == migration_uid and not record.is_replaced]
    found = [record.key for record in targets if record.uid in present] or [record.key for record in targets]
    return found[0] if found else next_target_key(vmi, view.migrations, migration_uid=migration_uid)


def next_target_key(vmi: VirtualMachineInstance, migrations: Iterable[Migration], *, migration_uid: str) -> PodKey:
    """The name of the pod that is to be made for a migration: another one for each that was replaced."""
    replaced = (record.uid for item in migrations if item.uid == migration_uid for record in item.renewal.replaced)
    return target_pod_key(vmi, migration_uid=migration_uid, after=list(replaced)[-1:])


def replaced_pods(view: MigrationView) -> tuple[LauncherPod, ...]:
    """The target pods of a migration that were replaced and nobody has asked to go yet."""
    own = {record.uid for record in view.records if record.migration_uid == view.migration.uid}
    return tuple(pod for pod in all_replaced_pods(view) if pod.uid in own and not pod.deleting)


def all_replaced_pods(view: VmiView | MigrationView) -> tuple[LauncherPod, ...]:
    """The target pods that were replaced and are still there: no guest moves to one, but each goes before its VMI."""
    uids = {record.uid for record in view.records if record.is_replaced}
    return tuple(pod for pod in view.foreign_pods if pod.uid in uids)


def record_of(
    pod: LauncherPod, *, vmi: VirtualMachineInstance, records: Iterable[PodRecord], migrations: Iterable[Migration]
) -> PodRecord:
    """The record of a pod that nicplug has made; a new one for a pod that an earlier version has made."""
    if (found := next((record for record in records if record.uid == pod.uid), None)) is not None:
        return found
    made_for = (item.uid for item in migrations if pod.key == target_pod_key(vmi, migration_uid=item.uid))
    return PodRecord(key=pod.key, uid=pod.uid, migration_uid=next(made_for, ""))


def migration_of(view: VmiView, pod: LauncherPod) -> str:
    """uid of the migration that a pod of nicplug's was made for; "" for the pod that started the guest."""
    return record_of(pod, vmi=view.vmi, records=view.records, migrations=view.migrations).migration_uid


def pods_to_record(view: VmiView, *, pod: LauncherPod | None) -> tuple[PodRecord, ...]:
    """The record as it shall be: all pods of nicplug's that are in sight, and those that may only be out of sight.

    Args:
        pod: the pod that runs the guest.
    """
    present = {item.uid for item in view.pods}
    is_needed = pod is None or pod.is_down_or_going or _is_moved(view)
    known = [
        record
        for record in view.vmi.launcher_pods or ()
        if record.uid in present or (is_needed and record.uid not in view.gone)
    ]
    told = {record.uid for record in known}
    new = [
        record_of(item, vmi=view.vmi, records=view.records, migrations=view.migrations)
        for item in view.pods
        if item.uid not in told
    ]
    # Never empty again: without a record the VMI would pass for one of an earlier version.
    return (*known, *sorted(new, key=lambda record: record.key)) or (view.vmi.launcher_pods or ())[-1:]


def _is_moved(view: VmiView) -> bool:
    """By node agents, or by a migration that is not yet through with its pods."""
    is_active = view.vmi.migration_state.is_active
    return is_active or any(MIGRATION_FINALIZER in item.finalizers for item in view.migrations)


def recorded_uids(view: VmiView | MigrationView, vmi: VirtualMachineInstance) -> frozenset[str] | None:
    """The uids by which a pod that is read by name counts; None where an earlier version has recorded none."""
    return _counted(vmi, view.records)


def uids_of_target(view: MigrationView, vmi: VirtualMachineInstance, *, migration: Migration) -> frozenset[str] | None:
    """The same for the target of a migration, which an earlier version may just have made."""
    if has_unrecorded_target(migration) and migration.phase in _BEFORE_HAND_OFF:
        return None
    return recorded_uids(view, vmi)


def _counted(vmi: VirtualMachineInstance, records: Iterable[PodRecord]) -> frozenset[str] | None:
    records = tuple(records)
    uids = frozenset(record.uid for record in records if not record.is_replaced)
    if has_no_record(vmi, records):
        return vmi.active_pods | uids if vmi.active_pods else None
    return uids


def may_be_made_by_nicplug(pod: LauncherPod, vmi: VirtualMachineInstance) -> bool:
    """It looks like a pod of nicplug's whose answer was lost, or whose maker died before it was recorded.

    It proves nothing, since anybody can make one that looks so: enough to wait a moment for its record, and to delete
    it when none comes, never to run a guest in it. What is certain to be somebody else's is left alone.
    """
    is_owned = pod.owner is not None and pod.owner.uid == vmi.uid
    is_older = pod.created is not None and vmi.created is not None and pod.created < vmi.created
    return is_owned and not is_older and _DIGEST.fullmatch(pod.made_with) is not None


def leftovers(view: VmiView | MigrationView, vmi: VirtualMachineInstance) -> tuple[LauncherPod, ...]:
    """The pods that nicplug may have made and that nobody has recorded, without those that are on their way out.

    A target pod that was replaced is recorded as that, and goes by itself.
    """
    replaced = {record.uid for record in view.records if record.is_replaced}
    unrecorded = (pod for pod in view.foreign_pods if not pod.deleting and pod.uid not in replaced)
    return tuple(pod for pod in unrecorded if may_be_made_by_nicplug(pod, vmi))


def discard(
    view: VmiView | MigrationView, pods: Sequence[LauncherPod], *, unrecorded_of: str = ""
) -> tuple[Delete, ...]:
    """The deletions of leftovers that were given time, before another pod is made: they take up the room it needs.

    The others stay, so that someone who makes one after the other does not delay a start. One of them may be of a
    leader that is about to record it, and start the guest in it: they go when the status names the pod that counts.
    """
    return tuple(
        Delete(kind=Kind.POD, key=pod.key, uid=pod.uid, unrecorded_of=unrecorded_of)
        for pod in pods
        if pod.uid in view.unrecorded
    )


def waits_for_record(view: VmiView | MigrationView, pods: Sequence[LauncherPod], *, now: datetime) -> datetime | None:
    """Until when another leader has time to record one of these pods; None when nobody waits for it."""
    heard = [view.unrecorded[pod.uid] for pod in pods if pod.uid in view.unrecorded]
    due = max(heard) + view.settings.record_patience if heard else now
    return due if now < due else None


def announce_taken_name(pod: Create, wanted: PodKey, *, about: Subject = Subject.VMI) -> tuple[Announcement, ...]:
    """Say that a pod is made under another name than the one that it would be given, and why."""
    if pod.key == wanted:
        return ()
    message = f"Pod {wanted.name} was not made by nicplug and is not used: the virtual machine gets pod {pod.key.name}"
    return (warning(about, Reason.FOREIGN_POD, message),)


def taken_names(view: VmiView | MigrationView) -> frozenset[PodKey]:
    """Names of pods that are not ours, as far as they have been heard of."""
    return view.taken | {pod.key for pod in view.foreign_pods}


# Pods that are left behind, and that nobody answers for any more.
#
# The migration controller deletes the target of a migration that failed and the source of one that succeeded, as long
# as the migration exists. One that was removed by force, its finalizer taken away by hand, leaves its pods: they
# would take up a node, and hold the VMI's networks, as long as the VMI lives. So would a pod whose maker died before
# it could record it.

# A pod may be heard of before its migration. Longer than clocks differ: the pod's creation is by the API server's.
_PATIENCE = timedelta(minutes=2)


def plan_stray_pods(view: VmiView, *, active: LauncherPod | None, now: datetime) -> Plan:
    """Delete them, unless the VMI has changed since it was looked at: it may have moved to one of them.

    Args:
        active: the pod that runs the guest; without one that lives, none is taken away.
    """
    if active is None or active.is_down_or_going or not view.vmi.node_name or view.refusal is not None:
        return Plan()
    others = [pod for pod in view.pods if pod.uid != active.uid and not pod.deleting]
    due = {pod.uid: (pod.created or now) + _PATIENCE for pod in others if _is_stray(view, pod)}
    left = [pod for pod in others if pod.uid not in due and _was_left(view, pod, active=active)]
    unrecorded = leftovers(view, view.vmi)
    due |= {pod.uid: (pod.created or now) + _PATIENCE for pod in unrecorded}
    due |= {pod.uid: max(pod.created or now, active.created or now) + _PATIENCE for pod in left}
    strays = [pod for pod in (*others, *unrecorded) if pod.uid in due]
    ripe = [pod for pod in strays if due[pod.uid] <= now]
    check = CheckUnchanged(key=view.vmi.key, uid=view.vmi.uid, version=view.vmi.resource_version)
    deletions: list[Action] = [Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in ripe]
    return Plan(
        actions=(check, *deletions) if deletions else (),
        announcements=tuple(announce_leftover(pod) if pod in unrecorded else _announce(pod) for pod in ripe),
        again_at=min((due[pod.uid] for pod in strays if due[pod.uid] > now), default=None),
    )


def _is_stray(view: VmiView, pod: LauncherPod) -> bool:
    """It was made for a migration that does not exist, and no node agent is at work on it."""
    state = view.vmi.migration_state
    if _answers_for(view, state, pod):
        return False
    is_in_state = pod.key.name in (state.source_pod, state.target_pod)
    if state.is_active and state.started_at is not None and is_in_state:
        return False
    is_target = bool(_made_for(view, pod)) or pod.key.name == state.target_pod
    is_source = pod.key.name == state.source_pod and state.completed and not state.failed
    return is_target or is_source


def _was_left(view: VmiView, pod: LauncherPod, *, active: LauncherPod) -> bool:
    """The guest went from it to a target pod, and nothing says any more that it did.

    Somebody wrote over the migration's state before node agents and migration controller had done with the source. Its
    node may be the guest's again, which has moved on and come back: a pod that has ended has no guest.
    """
    state = view.vmi.migration_state
    is_apart = pod.is_finished or pod.node_name not in ("", view.vmi.node_name)
    is_elsewhere = bool(_made_for(view, active)) and active.is_ready and is_apart
    is_over = not state.is_active and all(item.is_final for item in view.migrations)
    is_told = pod.key.name in (state.source_pod, state.target_pod)
    return is_elsewhere and is_over and not is_told


def _answers_for(view: VmiView, state: MigrationState, pod: LauncherPod) -> bool:
    """A migration that exists, whatever has become of it."""
    uids = {item.uid for item in view.migrations}
    if _made_for(view, pod) in uids:
        return True
    return state.migration_uid in uids and pod.key.name in (state.source_pod, state.target_pod)


def _made_for(view: VmiView, pod: LauncherPod) -> str:
    """The uid of a migration; by the label of a pod that was made before there was a record."""
    return migration_of(view, pod) or pod.migration_uid


def announce_leftover(pod: LauncherPod) -> Announcement:
    """The event of a pod that looks like one of nicplug's, and that no status records."""
    message = f"Deleted pod {pod.key.name}, which looks like a virtual machine pod, and which no status records"
    return normal(Subject.VMI, "SuccessfulDelete", message)


def _announce(pod: LauncherPod) -> Announcement:
    message = f"Deleted virtual machine pod {pod.key.name}, which was left behind by a migration that does not exist"
    return normal(Subject.VMI, "SuccessfulDelete", message)
