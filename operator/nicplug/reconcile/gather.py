"""Builds the views for the planners, from the caches only: gathering sends no request to the API server."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from nicplug.cache.caches import Caches
from nicplug.cache.lost_migrations import has_lost_migration
from nicplug.model.attachments import KnownAttachments
from nicplug.model.hotplug_policy import HotplugPolicy, overridden
from nicplug.model.keys import BudgetKey, MigrationKey, PodKey, VmiKey, VmKey, WorkKey
from nicplug.model.names import VM_KIND, VMI_KIND
from nicplug.model.pod import LauncherPod, PodRecord
from nicplug.model.pod_failures import PodFailure
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, own_vmi
from nicplug.plan.views import BudgetView, MigrationView, PlanSettings, Refusal, VmiView, VmView
from nicplug.plan.vmi.active_pod import known_pods
from nicplug.plan.vmi.launcher_pod import launcher_pod_key
from nicplug.plan.vmi.own_pods import has_no_record, next_target_key, sort_out
from nicplug.reconcile.memory import Memory

# The spec of a migration never changes, so a refusal applies until its retry time.
MIGRATION_GENERATION = 1

# In a burst a NIC takes several times as long, and each would cost three intermediate reports; with longer delays for
# these, 200 NICs at once finished in two thirds of the time (docs/performance.md).
_BUSY_VMI_FACTOR = 10
# Intermediate reports in a VM's status repeat what its VMI reports sooner.
_BUSY_VM_FACTOR = 20
# Even under load, a request for a NIC is acknowledged within a second.
_BUSY_FIRST_REPORT = timedelta(milliseconds=800)


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Collects what is known about one object.

    Attributes:
        is_busy: returns whether more keys wait than there are workers; reports are then batched for longer.
    """

    caches: Caches
    memory: Memory
    settings: PlanSettings
    is_busy: Callable[[], bool] = lambda: False

    def vm_view(self, key: VmKey) -> VmView | None:
        """Return the view of a VM; None if it is deleted."""
        vm = self.caches.vms.get(key)
        if vm is None:
            return None
        vmi = self.caches.vmis.get(VmiKey(key.namespace, key.name))
        own = own_vmi(vmi, vm_uid=vm.uid)
        return VmView(
            vm=vm,
            vmi=vmi,
            revision=self.caches.revisions.start_of(own) if own is not None else None,
            revisions=self.caches.revisions.of(vm),
            config=self.caches.config(),
            policy=self._policy(vm, own),
            settings=self._present_settings(_BUSY_VM_FACTOR),
            refusal=self.memory.refusal(key, generation=vm.generation),
            report_pending_since=self.memory.pending_since(key),
        )

    def vmi_view(self, key: VmiKey) -> VmiView | None:
        """Return the view of a VMI; None if it is deleted."""
        vmi = self.caches.vmis.get(key)
        return self.view_of(vmi) if vmi is not None else None

    def view_of(self, vmi: VirtualMachineInstance) -> VmiView:
        """Return the view of a VMI, which may have records that are not in its own status."""
        key = vmi.key
        launchers = self.caches.launchers
        vm, migrations, records = self._owner(vmi), self.caches.migrations_of(key), launchers.records_of(vmi)
        pods, foreign = sort_out(vmi, launchers.of(vmi), migrations=migrations, records=records)
        if foreign and vmi.is_unprocessed:
            self._note_foreign(foreign, first=launcher_pod_key(vmi), needed_by=vmi.uid, migration_uid="")
        return VmiView(
            vmi=vmi,
            pods=pods,
            foreign_pods=foreign,
            records=records,
            gone=frozenset(record.uid for record in records if launchers.store.is_gone(record.uid)),
            taken=launchers.made.taken(vmi.uid),
            unrecorded=launchers.made.unrecorded(vmi.uid),
            discarded=launchers.made.discarded(vmi.uid),
            attachments=self.caches.attachments_of(vmi, vm=vm),
            migrations=migrations,
            has_lost_migration=has_lost_migration(vmi, migrations=self.caches.migrations),
            nodes=self.caches.nodes.all(),
            controller=self.caches.controller_of(vmi),
            policy=self._policy(vm, vmi),
            failures=tuple(failure for pod in pods for failure in self.caches.pod_failures.of(pod.uid).values()),
            start_failures=self._start_failures(pods),
            orphans=self._orphans(vmi, records) if vmi.deleting else (),
            podless_since=launchers.podless_since(vmi),
            vm=vm,
            vm_refusal=self._refusal_of(vm) if vm is not None else None,
            config=self.caches.config(),
            settings=self._present_settings(_BUSY_VMI_FACTOR),
            spec_seen_at=self.caches.specs.seen_at(vmi),
            refusal=self.memory.refusal(key, generation=vmi.generation),
            report_pending_since=self.memory.pending_since(key),
        )

    def migration_view(self, key: MigrationKey) -> MigrationView | None:
        """Return the view of a migration; None if it is deleted."""
        migration = self.caches.migrations.get(key)
        if migration is None:
            return None
        vmi, migrations = self.caches.vmis.get(migration.vmi), self.caches.migrations_of(migration.vmi)
        launchers = self.caches.launchers
        owned, records = (launchers.of(vmi), launchers.records_of(vmi)) if vmi is not None else ((), ())
        pods, foreign = sort_out(vmi, owned, migrations=migrations, records=records) if vmi is not None else ((), ())
        if foreign and vmi is not None and migration.target_pod is None:
            first = next_target_key(vmi, (migration,), migration_uid=migration.uid)
            replaced = {record.uid for record in records if record.is_replaced}
            unrecorded = [pod for pod in foreign if pod.uid not in replaced]
            self._note_foreign(unrecorded, first=first, needed_by=migration.uid, migration_uid=migration.uid)
        return MigrationView(
            migration=migration,
            vmi=vmi,
            pods=pods,
            foreign_pods=foreign,
            records=records,
            taken=launchers.made.taken(migration.uid),
            unrecorded=launchers.made.unrecorded(migration.uid),
            start_failures=self._start_failures(pods),
            migrations=migrations,
            gone_pods=launchers.gone_of(migration),
            nodes=self.caches.nodes.all(),
            attachments=self.caches.attachments_of(vmi) if vmi is not None else KnownAttachments(),
            budget=self.caches.budgets.of(vmi) if vmi is not None else None,
            slot=self.caches.slots.slot_of(migration.uid, now=self.memory.clock()),
            config=self.caches.config(),
            settings=self._present_settings(_BUSY_VMI_FACTOR),
            refusal=self.memory.refusal(key, generation=MIGRATION_GENERATION),
            report_pending_since=self.memory.pending_since(key),
        )

    def budget_view(self, key: BudgetKey) -> BudgetView | None:
        """Return the view of a VMI's disruption budget; None if the VMI is deleted."""
        vmi_key = VmiKey(key.namespace, key.name)
        vmi = self.caches.vmis.get(vmi_key)
        if vmi is None:
            return None
        migrations, launchers = self.caches.migrations_of(vmi_key), self.caches.launchers
        unfinished = [item for item in migrations if not item.is_final]
        started = [item for item in unfinished if item.has_target]
        own, _ = sort_out(vmi, launchers.of(vmi), migrations=migrations, records=launchers.records_of(vmi))
        has_two_pods = sum(not pod.is_finished for pod in own) > 1
        return BudgetView(
            vmi=vmi,
            config=self.caches.config(),
            budget=self.caches.budgets.of(vmi),
            is_readable=self.caches.budgets.is_readable,
            is_moving=bool(started) or has_two_pods or vmi.migration_state.is_active,
            may_move=bool(unfinished),
            migration_uid=started[0].uid if started else "",
            refusal=self.memory.refusal(key, generation=vmi.generation),
        )

    def nics_of(self, key: WorkKey) -> int:
        """Return how many NICs a pass processes; 0 if the object is deleted, or holds a slot that others wait for."""
        match key:
            case VmKey():
                vm = self.caches.vms.get(key)
                return len(vm.interfaces) if vm is not None else 0
            case VmiKey():
                vmi = self.caches.vmis.get(key)
                return len(vmi.interfaces) if vmi is not None else 0
            case MigrationKey():
                migration = self.caches.migrations.get(key)
                return 0 if migration is None or migration.has_target else self.nics_of(migration.vmi)
            case _:
                return 0

    def _note_foreign(self, pods: Iterable[LauncherPod], *, first: PodKey, needed_by: str, migration_uid: str) -> None:
        """Record pods that were seen before the object that needs them, which starts their grace period.

        Their names stay taken after they are deleted: a repeated POST whose response was lost must find its own pod.
        """
        made, now = self.caches.launchers.made, self.memory.clock()
        for pod in pods:
            is_like_ours = bool(pod.made_with) and pod.migration_uid == migration_uid
            if is_like_ours:
                made.note_unrecorded(pod.uid, needed_by=needed_by, now=now)
            if pod.key == first or (is_like_ours and pod.uid in made.unrecorded(needed_by)):
                made.note_taken(pod.key, needed_by=needed_by)

    def _start_failures(self, pods: Iterable[LauncherPod]) -> tuple[PodFailure, ...]:
        failures = (self.caches.pod_failures.to_start(pod.uid) for pod in pods)
        return tuple(failure for failure in failures if failure is not None)

    def _policy(self, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> HotplugPolicy:
        """Return the cluster's policy, overridden by the VMI's annotations (from the VM's template), then the VM's."""
        config = self.caches.config()
        policy = config.hotplug if config is not None else HotplugPolicy()
        objects = ((VMI_KIND, vmi), (VM_KIND, vm))
        return overridden(
            policy,
            {f"{kind} {item.key}": item.overrides for kind, item in objects if item is not None and item.overrides},
        )

    def _refusal_of(self, vm: VirtualMachine) -> Refusal | None:
        """Return the refusal that blocks the VM's spec; excludes refused requests, which end and block nothing."""
        refusal = self.memory.refusal(vm.key, generation=vm.generation)
        return refusal if refusal is not None and not refusal.requests else None

    def _present_settings(self, busy_factor: int) -> PlanSettings:
        if not self.is_busy():
            return self.settings
        return replace(
            self.settings,
            report_delay=self.settings.report_delay * busy_factor,
            first_report_delay=max(self.settings.first_report_delay, _BUSY_FIRST_REPORT),
        )

    def _orphans(self, vmi: VirtualMachineInstance, records: Sequence[PodRecord]) -> tuple[LauncherPod, ...]:
        """Return nicplug's pods that have lost their owner; matches by name and label if none is recorded."""
        uids = {record.uid for record in records}
        keys = known_pods(vmi, self.caches.migrations_of(vmi.key), records)
        named = map(self.caches.launchers.store.get, keys)
        found = (pod for pod in named if pod is not None and pod.owner is None and pod.created_by == vmi.uid)
        return tuple(pod for pod in found if pod.uid in uids or has_no_record(vmi, records))

    def _owner(self, vmi: VirtualMachineInstance) -> VirtualMachine | None:
        if vmi.owner is None:
            return None
        vm = self.caches.vms.get(VmKey(vmi.key.namespace, vmi.owner.name))
        return vm if vm is not None and vm.uid == vmi.owner.uid else None
