"""The pods that nicplug created, and the handling of those that no controller manages any more."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from nicplug.model.keys import PodKey
from nicplug.model.migration import Migration, MigrationPhase, MigrationState
from nicplug.model.names import MIGRATION_FINALIZER
from nicplug.model.pod import LauncherPod, PodRecord
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, Create, Delete, Kind, check_unchanged
from nicplug.plan.outcome import Announcement, Plan, Subject, normal, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView, PodsView, VmiView
from nicplug.plan.vmi.launcher_pod import launcher_pod_key, target_pod_key

# Only pods that nicplug created run a guest, or are moved to (docs/adr/0019). A pod's name, labels, annotations and
# owner are chosen by its creator. A pod counts by its uid alone: when the status of its VMI or migration records it,
# or when the API server has confirmed to this very process that it created it.

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
    """Split pods into those that nicplug created and those of other or unknown creators.

    Args:
        owned: the pods that name the VMI as their controller.
        migrations: all that name the VMI.
        records: from `cache.launcher_pods`.
    """
    uids = {record.uid for record in records if not record.is_replaced}
    own = tuple(pod for pod in owned if pod.uid in uids)
    if len(own) == len(owned):
        return own, ()
    if has_no_record(vmi, records):
        uids |= _taken_over(vmi, owned)
    targets = {target_pod_key(vmi, migration_uid=item.uid): item for item in migrations if has_unrecorded_target(item)}
    counted = recorded_uids(vmi, records)
    uids |= {pod.uid for pod in owned if pod.key in targets and _is_target(pod, targets[pod.key], counted=counted)}
    own = tuple(pod for pod in owned if pod.uid in uids)
    return own, tuple(pod for pod in owned if pod not in own)


def has_no_record(vmi: VirtualMachineInstance, records: Iterable[PodRecord]) -> bool:
    """True if the last version of nicplug that wrote the VMI's pods keeps no record.

    This version writes the record with the first phase that has a pod, and never an active pod that is not in it.
    """
    if vmi.is_unprocessed:
        return False
    if vmi.launcher_pods is None:  # one that was deleted before it had a pod is final without any
        return bool(vmi.active_pods) or not vmi.is_final
    return not vmi.active_pods <= {record.uid for record in records}


def has_unrecorded_target(migration: Migration) -> bool:
    """True if a migration's target pod is unrecorded; it is recorded with the phase that reports it.

    A migration that has finished with its pods has none left. The guest's pod is named by the VMI; anyone may take the
    name of any other, as long as the migration exists.
    """
    if migration.target_pod is not None or not migration.has_target:
        return False
    if migration.phase is MigrationPhase.FAILED and migration.entered_at(MigrationPhase.SCHEDULING) is None:
        return False
    return not migration.is_cleaned_up


def _is_target(pod: LauncherPod, migration: Migration, *, counted: frozenset[str] | None) -> bool:
    """True if the pod has the name of an unrecorded target: then it is that target, as far as can be known."""
    return migration.phase in _BEFORE_HAND_OFF or counted is None or pod.uid in counted


def _taken_over(vmi: VirtualMachineInstance, owned: Sequence[LauncherPod]) -> set[str]:
    """Pods of a guest that was started without a record: by name, as by the version that started it.

    Only pods that its status lists: none can be added after that version has gone.
    """
    state = vmi.migration_state
    names = {launcher_pod_key(vmi).name, state.source_pod, state.target_pod}
    counted = [pod for pod in owned if not vmi.active_pods or pod.uid in vmi.active_pods]
    named = [pod for pod in counted if pod.key.name in names]
    if not any(pod.node_name == vmi.node_name for pod in named):
        # It has moved by a migration that no object reports any more.
        named += [pod for pod in counted if pod.node_name == vmi.node_name]
    return {pod.uid for pod in named}


def first_pod_key(view: PodsView, vmi: VirtualMachineInstance) -> PodKey:
    """The pod that was created to start the guest; its name, if it does not exist yet."""
    return _recorded_key(view, migration_uid="") or launcher_pod_key(vmi)


def target_key(view: PodsView, vmi: VirtualMachineInstance, *, migration_uid: str) -> PodKey:
    """The pod that was created for a migration; its name, if it does not exist yet."""
    recorded = _recorded_key(view, migration_uid=migration_uid)
    return recorded or next_target_key(vmi, view.migrations, migration_uid=migration_uid)


def _recorded_key(view: PodsView, *, migration_uid: str) -> PodKey | None:
    """The recorded pod that was created for the migration, or, without one, to start the guest; a visible one first."""
    present = {pod.uid for pod in view.pods}
    found = [record for record in view.records if record.migration_uid == migration_uid and not record.is_replaced]
    visible = [record for record in found if record.uid in present]
    return next((record.key for record in (*visible, *found)), None)


def next_target_key(vmi: VirtualMachineInstance, migrations: Iterable[Migration], *, migration_uid: str) -> PodKey:
    """Name of the next pod of a migration: another one for each that was replaced."""
    replaced = (record.uid for item in migrations if item.uid == migration_uid for record in item.renewal.replaced)
    return target_pod_key(vmi, migration_uid=migration_uid, after=list(replaced)[-1:])


def replaced_pods(view: MigrationView) -> tuple[LauncherPod, ...]:
    """Replaced target pods of a migration whose deletion was not requested yet."""
    own = {record.uid for record in view.records if record.migration_uid == view.migration.uid}
    return tuple(pod for pod in all_replaced_pods(view) if pod.uid in own and not pod.deleting)


def all_replaced_pods(view: PodsView) -> tuple[LauncherPod, ...]:
    """Replaced target pods that still exist: no guest moves to one, but each is deleted before its VMI."""
    uids = {record.uid for record in view.records if record.is_replaced}
    return tuple(pod for pod in view.foreign_pods if pod.uid in uids)


def record_of(pod: LauncherPod, view: PodsView, vmi: VirtualMachineInstance) -> PodRecord:
    """The record of a pod that nicplug created; a new one for a pod of an earlier version."""
    if (found := next((record for record in view.records if record.uid == pod.uid), None)) is not None:
        return found
    made_for = (item.uid for item in view.migrations if pod.key == target_pod_key(vmi, migration_uid=item.uid))
    return PodRecord(key=pod.key, uid=pod.uid, migration_uid=next(made_for, ""))


def migration_of(view: VmiView, pod: LauncherPod) -> str:
    """uid of the migration that the pod was created for; "" for the pod that started the guest."""
    return record_of(pod, view, view.vmi).migration_uid


def pods_to_record(view: VmiView, *, pod: LauncherPod | None) -> tuple[PodRecord, ...]:
    """The new record: all of nicplug's pods that are visible, and those that may only be hidden."""
    present = {item.uid for item in view.pods}
    is_needed = pod is None or pod.is_down_or_going or _is_moved(view)
    known = [
        record
        for record in view.vmi.launcher_pods or ()
        if record.uid in present or (is_needed and record.uid not in view.gone)
    ]
    recorded = {record.uid for record in known}
    new = [record_of(item, view, view.vmi) for item in view.pods if item.uid not in recorded]
    # Never empty again: without a record the VMI would pass for one of an earlier version.
    return (*known, *sorted(new, key=lambda record: record.key)) or (view.vmi.launcher_pods or ())[-1:]


def _is_moved(view: VmiView) -> bool:
    """True if it is moved by node agents, or by a migration that has not finished with its pods."""
    is_active = view.vmi.migration_state.is_active
    return is_active or any(MIGRATION_FINALIZER in item.finalizers for item in view.migrations)


def uids_of_target(view: MigrationView, vmi: VirtualMachineInstance, *, migration: Migration) -> frozenset[str] | None:
    """The uids by which a migration's target counts; None where an earlier version may just have created one."""
    if has_unrecorded_target(migration) and migration.phase in _BEFORE_HAND_OFF:
        return None
    return recorded_uids(vmi, view.records)


def recorded_uids(vmi: VirtualMachineInstance, records: Sequence[PodRecord]) -> frozenset[str] | None:
    """The uids by which a pod that is read by name counts; None where an earlier version has recorded none."""
    uids = frozenset(record.uid for record in records if not record.is_replaced)
    if has_no_record(vmi, records):
        return vmi.active_pods | uids if vmi.active_pods else None
    return uids


def may_be_made_by_nicplug(pod: LauncherPod, vmi: VirtualMachineInstance) -> bool:
    """True if it looks like a pod of nicplug's whose response was lost, or whose creator died before recording it.

    It proves nothing, since anybody can create such a pod: enough to wait a moment for its record, and to delete it
    when none comes, never to run a guest in it. Pods that are certainly another creator's are left alone.
    """
    is_owned = pod.owner is not None and pod.owner.uid == vmi.uid
    is_older = pod.created is not None and vmi.created is not None and pod.created < vmi.created
    return is_owned and not is_older and _DIGEST.fullmatch(pod.made_with) is not None


def leftovers(view: PodsView, vmi: VirtualMachineInstance) -> tuple[LauncherPod, ...]:
    """Unrecorded pods that nicplug may have created, without those that are being deleted.

    A replaced target pod is recorded as such, and is deleted separately.
    """
    replaced = {record.uid for record in view.records if record.is_replaced}
    unrecorded = (pod for pod in view.foreign_pods if not pod.deleting and pod.uid not in replaced)
    return tuple(pod for pod in unrecorded if may_be_made_by_nicplug(pod, vmi))


def discard(view: PodsView, pods: Sequence[LauncherPod], *, unrecorded_of: str = "") -> tuple[Delete, ...]:
    """Delete leftovers whose time is over, before another pod is created: they take up the room it needs.

    The others stay, so that someone who creates one after the other does not delay a start. One of them may be of a
    leader that is about to record it, and start the guest in it: they are deleted when the status names the pod that
    counts.
    """
    return tuple(
        Delete(kind=Kind.POD, key=pod.key, uid=pod.uid, unrecorded_of=unrecorded_of)
        for pod in pods
        if pod.uid in view.unrecorded
    )


def waits_for_record(view: PodsView, pods: Sequence[LauncherPod], *, now: datetime) -> datetime | None:
    """Until when another leader may record one of these pods; None when none is waited for."""
    heard = [view.unrecorded[pod.uid] for pod in pods if pod.uid in view.unrecorded]
    due = max(heard) + view.settings.record_patience if heard else now
    return due if now < due else None


def announce_taken_name(pod: Create, wanted: PodKey, *, about: Subject = Subject.VMI) -> tuple[Announcement, ...]:
    """Announce that a pod is created under another name than its usual one, and why."""
    if pod.key == wanted:
        return ()
    message = f"Pod {wanted.name} was not made by nicplug and is not used: the virtual machine gets pod {pod.key.name}"
    return (warning(about, Reason.FOREIGN_POD, message),)


def taken_names(view: PodsView) -> frozenset[PodKey]:
    """Names of pods that are not ours, as far as they have been observed."""
    return view.taken | {pod.key for pod in view.foreign_pods}


# The migration controller deletes the target of a migration that failed and the source of one that succeeded, as long
# as the migration exists. One that was removed by force, its finalizer removed by hand, leaves its pods: they would
# take up a node, and hold the VMI's networks, as long as the VMI lives. So would a pod whose creator died before it
# could record it.

# A pod may be observed before its migration. Longer than clocks differ: the pod's creation is by the API server's.
_PATIENCE = timedelta(minutes=2)


def plan_stray_pods(view: VmiView, *, active: LauncherPod | None, now: datetime) -> Plan:
    """Delete stray pods, unless the VMI has changed since it was read: it may have moved to one of them.

    Args:
        active: the pod that runs the guest; without a living one, none is deleted.
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
    overdue = [pod for pod in strays if due[pod.uid] <= now]
    check = check_unchanged(view.vmi)
    deletions: list[Action] = [Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in overdue]
    return Plan(
        actions=(check, *deletions) if deletions else (),
        announcements=tuple(announce_leftover(pod) if pod in unrecorded else _announce(pod) for pod in overdue),
        again_at=min((due[pod.uid] for pod in strays if due[pod.uid] > now), default=None),
    )


def _is_stray(view: VmiView, pod: LauncherPod) -> bool:
    """True if it was created for a migration that does not exist, and no node agent works on it."""
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
    """True if the guest moved from it to a target pod, and no object reports the move any more.

    The migration's state was overwritten before node agents and migration controller had finished with the source. Its
    node may be the guest's again, which has moved on and come back: a pod that has ended has no guest.
    """
    state = view.vmi.migration_state
    has_no_guest = pod.is_finished or pod.node_name not in ("", view.vmi.node_name)
    is_elsewhere = bool(_made_for(view, active)) and active.is_ready and has_no_guest
    is_over = not state.is_active and all(item.is_final for item in view.migrations)
    is_named = pod.key.name in (state.source_pod, state.target_pod)
    return is_elsewhere and is_over and not is_named


def _answers_for(view: VmiView, state: MigrationState, pod: LauncherPod) -> bool:
    """True if a migration exists for it, whatever its phase."""
    uids = {item.uid for item in view.migrations}
    if _made_for(view, pod) in uids:
        return True
    return state.migration_uid in uids and pod.key.name in (state.source_pod, state.target_pod)


def _made_for(view: VmiView, pod: LauncherPod) -> str:
    """uid of its migration; by label for a pod that was created before there was a record."""
    return migration_of(view, pod) or pod.migration_uid


def announce_leftover(pod: LauncherPod) -> Announcement:
    """The event of an unrecorded pod that looks like one of nicplug's."""
    message = f"Deleted pod {pod.key.name}, which looks like a virtual machine pod, and which no status records"
    return normal(Subject.VMI, "SuccessfulDelete", message)


def _announce(pod: LauncherPod) -> Announcement:
    message = f"Deleted virtual machine pod {pod.key.name}, which was left behind by a migration that does not exist"
    return normal(Subject.VMI, "SuccessfulDelete", message)
