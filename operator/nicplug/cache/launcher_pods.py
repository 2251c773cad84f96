"""Cache of the launcher pods: their owners, which of them nicplug has created, and which are known to be deleted."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.cache.gone_pods import GonePods
from nicplug.cache.made_pods import MadePods
from nicplug.cache.migration_index import MigrationIndex
from nicplug.cache.owner_index import OwnerIndex
from nicplug.cache.store import Change, Store
from nicplug.model.keys import MigrationKey, PodKey, VmiKey, WorkKey
from nicplug.model.metadata import ControllerReference, mapping, text
from nicplug.model.migration import Migration
from nicplug.model.names import VMI_KIND
from nicplug.model.pod import LauncherPod, PodRecord, parse_pod
from nicplug.model.vmi import VirtualMachineInstance


class LauncherPods:
    """All watched launcher pods, indexed by the VMI that controls them.

    Args:
        vmis: store of VMIs.
        migrations: index of migrations by VMI.
        clock: current time, UTC.
        on_forget: called with the uid of each pod that is removed.
    """

    def __init__(
        self,
        *,
        vmis: Store[VirtualMachineInstance],
        migrations: MigrationIndex,
        clock: Callable[[], datetime],
        on_forget: Callable[[str], None],
    ) -> None:
        self.store: Store[LauncherPod] = Store(on_forget=self._forget)
        self.made = MadePods()
        self._vmis = vmis
        self._migrations = migrations
        self._clock = clock
        self._on_forget = on_forget
        self._owned: OwnerIndex[LauncherPod] = OwnerIndex(owner_kind=VMI_KIND)
        self._gone = GonePods()
        self._vmi_of: dict[str, VmiKey] = {}
        self._podless: dict[str, datetime] = {}

    def of(self, vmi: VirtualMachineInstance) -> tuple[LauncherPod, ...]:
        """Return the pods controlled by this VMI (same uid); labels are ignored (CVE-2025-64435)."""
        return self._owned.of(vmi.key, uid=vmi.uid)

    def is_launcher(self, key: PodKey, uid: str) -> bool:
        """True if the launcher pod of that name has this uid."""
        pod = self.store.get(key)
        return pod is not None and pod.uid == uid and uid in self._vmi_of

    def vmi_of(self, pod_uid: str) -> list[WorkKey]:
        """Return the VMI of a launcher pod, and its unfinished migrations."""
        key = self._vmi_of.get(pod_uid)
        if key is None:
            return []
        return [key, *(item.key for item in self._migrations.of(key) if not item.is_final)]

    def is_owned(self, raw: Mapping[str, Any], *, vmi_uid: str) -> bool:
        """True if a pod that was read by name is one of those `of` the VMI, once the watch shows it."""
        pod = parse_pod(raw)
        owner = self._owned.owner_of(pod)
        vmi = self._vmis.get(VmiKey(pod.key.namespace, owner.name)) if owner is not None else None
        return vmi is not None and owner is not None and vmi.uid == owner.uid == vmi_uid

    # -- pods created by nicplug ------------------------------------------------------------------

    def records_of(self, vmi: VirtualMachineInstance) -> tuple[PodRecord, ...]:
        """Return the pods that nicplug has created for this VMI, as recorded in a status or by this process."""
        return gather_records(vmi, self._migrations.of(vmi.key), self.made.of(vmi.uid))

    def is_own(self, uid: str, *, vmi: VmiKey) -> bool:
        """True if nicplug has created this pod and not replaced it."""
        known = self._vmis.get(vmi)
        records = self.records_of(known) if known is not None else ()
        return any(record.uid == uid and not record.is_replaced for record in records)

    def note_made(self, raw: Mapping[str, Any], *, vmi_uid: str, migration_uid: str) -> None:
        """Record that the API server has answered our POST with this pod."""
        metadata = mapping(raw.get("metadata"))
        key = PodKey(text(metadata.get("namespace")), text(metadata.get("name")))
        record = PodRecord(key=key, uid=text(metadata.get("uid")), migration_uid=migration_uid)
        self.made.add(record, vmi_uid=vmi_uid)

    def note_records(self, vmi: VirtualMachineInstance, *, before: VirtualMachineInstance | None) -> None:
        """Keep records that the status has lost until a status has them again: the guest keeps running."""
        if vmi.launcher_pods is not None:
            uids = (record.uid for record in vmi.launcher_pods)
            self.made.note_recorded(vmi.uid, vmi_uid=vmi.uid, uids=uids)
        elif before is not None and before.uid == vmi.uid:
            for record in before.launcher_pods or ():
                self.made.add(record, vmi_uid=vmi.uid)

    # -- pods known to be deleted ----------------------------------------------------------------

    def podless_since(self, vmi: VirtualMachineInstance) -> datetime | None:
        """Return since when the VMI is known to have no pod, or None: its end was seen, or the API server was asked."""
        return self._podless.get(vmi.uid)

    def confirm_podless(self, key: VmiKey, *, uid: str) -> list[WorkKey]:
        """Record that the API server has no pod for this VMI; returns the keys to reconcile."""
        vmi = self._vmis.get(key)
        if vmi is None or vmi.uid != uid:
            return []
        self._podless.setdefault(uid, self._clock())
        return [key]

    def gone_of(self, migration: Migration) -> frozenset[PodKey]:
        """Return the pods that this migration has asked for and that do not exist."""
        return self._gone.of(migration.uid)

    def confirm_gone(self, pod: PodKey, *, migration: MigrationKey, uid: str) -> list[WorkKey]:
        """Record that the API server has no such pod for this migration; returns the keys to reconcile."""
        known = self._migrations.get(migration)
        if known is None or known.uid != uid:
            return []
        self._gone.add(pod, migration_uid=uid)
        return [migration]

    def forget_vmi(self, uid: str) -> None:
        """Remove what is known about the pods of a deleted VMI."""
        self._podless.pop(uid, None)
        self.made.forget(uid)

    def forget_migration(self, uid: str) -> None:
        """Remove what is known about the target pod of a deleted migration."""
        self._gone.forget(uid)
        self.made.forget(uid)

    # -- watch events and reads by name ----------------------------------------------------------

    def put(self, pod: LauncherPod, *, lives: bool = False) -> list[WorkKey]:
        """Store the current version of a pod; returns the keys to reconcile.

        Args:
            lives: the pod was read by name: it exists, even if its labels made the watch report it as deleted.
        """
        before = self.store.get(pod.key)
        change = self.store.put(pod, lives=lives)
        if before is not None and self.store.get(pod.key) is pod:
            self._unlink(before)  # a living pod's ownerReferences can change, for example by an orphaning delete
        if self.store.get(pod.key) is pod:
            self._owned.add(pod)
            if (owner := self._owned.owner_of(pod)) is not None:
                self._vmi_of[pod.uid] = VmiKey(pod.key.namespace, owner.name)
                self._note(pod, owner)
        return self._keys(change)

    def forget_line(self, pod: LauncherPod) -> list[WorkKey]:
        """Apply a DELETED event, which a pod that only lost the watched label causes as well.

        Always returns the owner: it may wait for the answer that created the pod, which is no longer news.
        """
        version = math.inf if _has_ended(pod) else pod.resource_version
        keys = self.remove(pod.key, uid=pod.uid, version=version)
        return list(dict.fromkeys([*keys, *self._keys(Change(pod, None))]))

    def remove(self, key: PodKey, *, uid: str, version: float) -> list[WorkKey]:
        """Remove a pod that was not visible at `version` (infinite: it is deleted); returns the keys to reconcile."""
        change = self.store.remove(key=key, uid=uid, version=version)
        if change is None or change.before is None:
            return []
        owner = self._owned.owner_of(change.before)
        if owner is not None:
            if version == math.inf:
                self.made.forget_pod(uid, vmi_uid=owner.uid)
            self._note_loss(VmiKey(key.namespace, owner.name), uid=owner.uid, is_end=version == math.inf)
        return self._keys(change)

    def _note(self, pod: LauncherPod, owner: ControllerReference) -> None:
        """Note that a pod exists. One that only names the VMI as its owner says nothing about nicplug's own pods."""
        vmi = self._vmis.get(VmiKey(pod.key.namespace, owner.name))
        if vmi is None or vmi.uid != owner.uid:  # no owner of that name in this namespace: not a pod of any VMI
            self._gone.discard(pod.key)
            return
        has_record = vmi.launcher_pods is not None or vmi.is_unprocessed
        if not has_record or any(record.uid == pod.uid for record in self.records_of(vmi)):
            self._gone.discard(pod.key)
            self._podless.pop(owner.uid, None)
            return
        targets = {item.uid for item in self._migrations.of(vmi.key) if item.target_pod is None}
        if pod.made_with and (pod.migration_uid in targets or (vmi.is_unprocessed and not pod.migration_uid)):
            self.made.note_unrecorded(pod.uid, needed_by=pod.migration_uid or vmi.uid, now=self._clock())

    def _note_loss(self, key: VmiKey, *, uid: str, is_end: bool) -> None:
        """Update whether the VMI has any pod left, after one was removed.

        Events of different pods arrive in any order: the end of the source pod of a migration may come before the
        target pod.
        """
        vmi = self._vmis.get(key)
        if vmi is None or vmi.uid != uid:
            return
        moves = bool(vmi.migration_state.migration_uid) or any(not item.is_final for item in self._migrations.of(key))
        if not is_end:
            self._podless.pop(uid, None)
        elif not self._owned.of(key, uid=uid) and not moves:
            self.confirm_podless(key, uid=uid)

    def _forget(self, pod: LauncherPod) -> None:
        self._unlink(pod)
        self._on_forget(pod.uid)

    def _unlink(self, pod: LauncherPod) -> None:
        self._owned.drop(pod)
        self._vmi_of.pop(pod.uid, None)

    def _keys(self, change: Change[LauncherPod] | None) -> list[WorkKey]:
        """Return the VMI of the changed pod and its migrations; finished ones delete the pods left behind."""
        if change is None:
            return []
        owners = [(pod.key.namespace, self._owned.owner_of(pod)) for pod in change.records]
        vmis = [(VmiKey(namespace, owner.name), owner.uid) for namespace, owner in owners if owner is not None]
        migrations: list[MigrationKey] = [
            item.key
            for vmi, uid in vmis
            for item in self._migrations.of(vmi)
            if not item.is_final or len(self._owned.of(vmi, uid=uid)) > 1
        ]
        return list(dict.fromkeys([*(vmi for vmi, _ in vmis), *migrations]))


def _has_ended(pod: LauncherPod) -> bool:
    """True if the pod was being deleted and had nothing left to run; any other pod that vanishes may still exist."""
    return pod.deleting and (pod.is_finished or not pod.node_name)


def gather_records(
    vmi: VirtualMachineInstance, migrations: Iterable[Migration], made: Iterable[PodRecord]
) -> tuple[PodRecord, ...]:
    """Return the records of all pods that count, and of those that were replaced; the statuses take precedence.

    Args:
        migrations: those that name the VMI.
        made: pods that this process has created and that are not recorded yet. If another leader has recorded one
            since, that one counts, and these do not.
    """
    known = {record.uid: record for record in vmi.launcher_pods or ()}
    waiting: dict[str, bool] = {}
    for migration in migrations:
        for record in migration.renewal.replaced:
            # With two leaders, one may have handed the VM off to a pod that the other has just replaced.
            known[record.uid] = replace(record, is_replaced=not _is_handed_off_to(vmi, record))
        if migration.target_pod is not None:
            known.setdefault(migration.target_pod.uid, migration.target_pod)
        waiting[migration.uid] = migration.target_pod is None
    for record in made:
        if waiting.get(record.migration_uid, True) if record.migration_uid else vmi.is_unprocessed:
            known.setdefault(record.uid, record)
    return tuple(known.values())


def _is_handed_off_to(vmi: VirtualMachineInstance, record: PodRecord) -> bool:
    state = vmi.migration_state
    return (state.migration_uid, state.target_pod) == (record.migration_uid, record.key.name)
