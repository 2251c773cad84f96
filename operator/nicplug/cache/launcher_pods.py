"""The launcher pods: whose they are, which of them nicplug has made, and which are known to be gone."""

import math
from collections.abc import Callable, Mapping
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
from nicplug.model.pod import LauncherPod, parse_pod
from nicplug.model.pod_record import PodRecord
from nicplug.model.pod_records import gather_records
from nicplug.model.vmi import VirtualMachineInstance


class LauncherPods:
    """Every pod that the watch shows, by the VMI that controls it.

    Args:
        vmis: the store of instances.
        migrations: which migrations name which VMI.
        clock: current time, UTC.
        on_forget: called with the uid of a pod that is forgotten.
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
        """The pods whose controller is this very VMI; a label is never asked (CVE-2025-64435)."""
        return self._owned.of(vmi.key, uid=vmi.uid)

    def is_launcher(self, key: PodKey, uid: str) -> bool:
        """The launcher pod of that name in that namespace is this very pod."""
        pod = self.store.get(key)
        return pod is not None and pod.uid == uid and uid in self._vmi_of

    def vmi_of(self, pod_uid: str) -> list[WorkKey]:
        """The VMI of a launcher pod, and what moves it."""
        key = self._vmi_of.get(pod_uid)
        if key is None:
            return []
        return [key, *(item.key for item in self._migrations.of(key) if not item.is_final)]

    def is_owned(self, raw: Mapping[str, Any], *, vmi_uid: str) -> bool:
        """A pod that was read by name is one of those `of` that VMI, once it is in sight."""
        pod = parse_pod(raw)
        owner = self._owned.owner_of(pod)
        vmi = self._vmis.get(VmiKey(pod.key.namespace, owner.name)) if owner is not None else None
        return vmi is not None and owner is not None and vmi.uid == owner.uid == vmi_uid

    # -- the pods that nicplug has made ----------------------------------------------------------

    def records_of(self, vmi: VirtualMachineInstance) -> tuple[PodRecord, ...]:
        """The pods that nicplug has made for this VMI, as far as a status or this process knows."""
        return gather_records(vmi, self._migrations.of(vmi.key), self.made.of(vmi.uid))

    def is_own(self, uid: str, *, vmi: VmiKey) -> bool:
        """One of those."""
        known = self._vmis.get(vmi)
        records = self.records_of(known) if known is not None else ()
        return any(record.uid == uid and not record.is_replaced for record in records)

    def note_made(self, raw: Mapping[str, Any], *, vmi_uid: str, migration_uid: str) -> None:
        """Take in that the API server has answered our POST with this pod."""
        metadata = mapping(raw.get("metadata"))
        key = PodKey(text(metadata.get("namespace")), text(metadata.get("name")))
        record = PodRecord(key=key, uid=text(metadata.get("uid")), migration_uid=migration_uid)
        self.made.add(record, vmi_uid=vmi_uid)

    def note_records(self, vmi: VirtualMachineInstance, *, before: VirtualMachineInstance | None) -> None:
        """A record that a status has lost is remembered until a status has it again: the guest runs on."""
        if vmi.launcher_pods is not None:
            uids = (record.uid for record in vmi.launcher_pods)
            self.made.note_recorded(vmi.uid, vmi_uid=vmi.uid, uids=uids)
        elif before is not None and before.uid == vmi.uid:
            for record in before.launcher_pods or ():
                self.made.add(record, vmi_uid=vmi.uid)

    # -- the pods that are known to be gone ------------------------------------------------------

    def podless_since(self, vmi: VirtualMachineInstance) -> datetime | None:
        """Since when the VMI's pod is known to be gone: its end was seen, or the API server was asked."""
        return self._podless.get(vmi.uid)

    def confirm_podless(self, key: VmiKey, *, uid: str) -> list[WorkKey]:
        """Take in that the API server has no pod for this VMI."""
        vmi = self._vmis.get(key)
        if vmi is None or vmi.uid != uid:
            return []
        self._podless.setdefault(uid, self._clock())
        return [key]

    def gone_of(self, migration: Migration) -> frozenset[PodKey]:
        """The pods that this migration has asked for, and that do not exist."""
        return self._gone.of(migration.uid)

    def confirm_gone(self, pod: PodKey, *, migration: MigrationKey, uid: str) -> list[WorkKey]:
        """Take in that the API server has no such pod of the VMI that this migration moves."""
        known = self._migrations.get(migration)
        if known is None or known.uid != uid:
            return []
        self._gone.add(pod, migration_uid=uid)
        return [migration]

    def forget_vmi(self, uid: str) -> None:
        """A VMI is gone, and what was known of its pods."""
        self._podless.pop(uid, None)
        self.made.forget(uid)

    def forget_migration(self, uid: str) -> None:
        """A migration is gone, and what was known of its target."""
        self._gone.forget(uid)
        self.made.forget(uid)

    # -- what the watch and reads by name say ----------------------------------------------------

    def put(self, pod: LauncherPod, *, lives: bool = False) -> list[WorkKey]:
        """Take in a pod as it is now; the keys that have to look again.

        Args:
            lives: it was read by name, whatever its labels made the watch say of it.
        """
        before = self.store.get(pod.key)
        change = self.store.put(pod, lives=lives)
        if before is not None and self.store.get(pod.key) is pod:
            self._unlink(before)  # ownerReferences of a living pod can change, for one by an orphaning delete
        if self.store.get(pod.key) is pod:
            self._owned.add(pod)
            if (owner := self._owned.owner_of(pod)) is not None:
                self._vmi_of[pod.uid] = VmiKey(pod.key.namespace, owner.name)
                self._note(pod, owner)
        return self._keys(change)

    def forget_line(self, pod: LauncherPod) -> list[WorkKey]:
        """Pods are watched by a label, and the watch says the same of one that only lost it as of one that is gone.

        Its owner looks again in any case: he may wait for the answer that has made it, which is no news any more.
        """
        version = math.inf if _has_ended(pod) else pod.resource_version
        keys = self.remove(pod.key, uid=pod.uid, version=version)
        return list(dict.fromkeys([*keys, *self._keys(Change(pod, None))]))

    def remove(self, key: PodKey, *, uid: str, version: float) -> list[WorkKey]:
        """Take in that a pod was not to be seen at that resourceVersion; infinite when it is gone for good."""
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
        """A pod of nicplug's is there; one that only names the VMI says nothing about those of nicplug's."""
        vmi = self._vmis.get(VmiKey(pod.key.namespace, owner.name))
        if vmi is None or vmi.uid != owner.uid:  # no owner of that name, in this namespace: no pod of any VMI
            self._gone.discard(pod.key)
            return
        is_told = vmi.launcher_pods is not None or vmi.is_unprocessed
        if not is_told or any(record.uid == pod.uid for record in self.records_of(vmi)):
            self._gone.discard(pod.key)
            self._podless.pop(owner.uid, None)
            return
        targets = {item.uid for item in self._migrations.of(vmi.key) if item.target_pod is None}
        if pod.made_with and (pod.migration_uid in targets or (vmi.is_unprocessed and not pod.migration_uid)):
            self.made.note_unrecorded(pod.uid, needed_by=pod.migration_uid or vmi.uid, now=self._clock())

    def _note_loss(self, key: VmiKey, *, uid: str, is_end: bool) -> None:
        """Whether the VMI has any pod left, now that one is out of sight.

        Lines about different pods come in any order: the end of the pod that a guest has left may be heard of before
        the pod that it has moved to.
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
        """The pod's VMI, and what migrates it; one that has ended takes away the pods that it leaves behind."""
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
    """It was on its way out and had nothing left to run; whatever else vanishes may still be there."""
    return pod.deleting and (pod.is_finished or not pod.node_name)
