"""The four controllers as queues over mirrors: gather a view, decide, send."""

from collections.abc import Mapping
from datetime import UTC, datetime

from nicplug_sandbox.kubevirt import migration_actions, migration_phase, vm, vmi, workload_updater
from nicplug_sandbox.kubevirt.launcher_pod import pods_of
from nicplug_sandbox.kubevirt.migration_rules import View, is_running, next_pending
from nicplug_sandbox.kubevirt.objects import (
    CREATED_BY,
    Json,
    controller_uid,
    is_being_deleted,
    is_final,
    labels_of,
    name_of,
    namespace_of,
    phase_of,
    status_of,
    uid_of,
)
from nicplug_sandbox.kubevirt.send import RESOURCES, Refused, Sender
from nicplug_sandbox.kubevirt.settings import ClusterSettings, read_settings
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Kind, write
from nicplug_sandbox.node.api import Api
from nicplug_sandbox.node.mirror import Key, Mirror, key_of
from nicplug_sandbox.node.work import WorkQueue

CONCURRENCY = 16


def make_mirrors(api: Api) -> dict[Kind, Mirror]:
    """What virt-controller watches."""
    return {
        "VirtualMachine": Mirror(api=api, resource=RESOURCES["VirtualMachine"]),
        "VirtualMachineInstance": Mirror(api=api, resource=RESOURCES["VirtualMachineInstance"]),
        "VirtualMachineInstanceMigration": Mirror(api=api, resource=RESOURCES["VirtualMachineInstanceMigration"]),
        "KubeVirt": Mirror(api=api, resource=RESOURCES["KubeVirt"]),
        "Pod": Mirror(
            api=api,
            resource=RESOURCES["Pod"],
            selector={"labelSelector": "kubevirt.io=virt-launcher"},
            indexes={"vmi": lambda pod: (labels_of(pod).get(CREATED_BY, ""),)},
        ),
    }


def _now() -> datetime:
    return datetime.now(UTC)


class Controllers:
    """VM, VMI and migration controller, and the workload updater, of one virt-controller."""

    def __init__(self, *, mirrors: Mapping[Kind, Mirror], sender: Sender) -> None:
        self._mirrors = mirrors
        self._sender = sender
        self._vms, self._vmis = mirrors["VirtualMachine"], mirrors["VirtualMachineInstance"]
        self._migrations, self._pods = mirrors["VirtualMachineInstanceMigration"], mirrors["Pod"]
        self.vm_queue = WorkQueue(name="vm", work=self.sync_vm, concurrency=CONCURRENCY)
        self.vmi_queue = WorkQueue(name="vmi", work=self.sync_vmi, concurrency=CONCURRENCY)
        # One at a time: a target pod that is just being made counts against the limits of the next.
        self.migration_queue = WorkQueue(name="migration", work=self.sync_migration, concurrency=1)
        self.updater_queue = WorkQueue(name="workload-updater", work=self.update_workloads, concurrency=1)

    def start(self) -> None:
        """Follow every object that is there and every change."""
        self._vms.listen(self._on_vm)
        self._vmis.listen(self._on_vmi)
        self._pods.listen(self._on_pod)
        self._migrations.listen(self._on_migration)
        self._mirrors["KubeVirt"].listen(lambda _old, new: self._throttle())
        for mirror, react in (
            (self._vms, self._on_vm),
            (self._vmis, self._on_vmi),
            (self._migrations, self._on_migration),
        ):
            for obj in mirror.all():
                react(None, obj)

    async def close(self) -> None:
        """Stop working."""
        for queue in (self.vm_queue, self.vmi_queue, self.migration_queue, self.updater_queue):
            await queue.close()

    @property
    def settings(self) -> ClusterSettings:
        """What the KubeVirt CR says now."""
        return read_settings(next(iter(self._mirrors["KubeVirt"].all()), None))

    def _throttle(self) -> None:
        for kubevirt in self._mirrors["KubeVirt"].all():
            self.updater_queue.add(key_of(kubevirt), after=workload_updater.THROTTLE_SECONDS)

    def _on_vm(self, old: Json | None, new: Json | None) -> None:
        self.vm_queue.add(key_of(new or old or {}))

    def _on_vmi(self, old: Json | None, new: Json | None) -> None:
        machine = new or old or {}
        key = key_of(machine)
        self.vmi_queue.add(key)
        if self._vms.get(key) is not None:
            self.vm_queue.add(key)
        for migration in self._migrations_of(machine):
            self.migration_queue.add(key_of(migration))
        self._throttle()

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        pod = new or old or {}
        for machine in self._vmis.all():
            if uid_of(machine) == labels_of(pod).get(CREATED_BY):
                self.vmi_queue.add(key_of(machine))
                for migration in self._migrations_of(machine):
                    self.migration_queue.add(key_of(migration))

    def _on_migration(self, old: Json | None, new: Json | None) -> None:
        migration = new or old or {}
        self.migration_queue.add(key_of(migration))
        self.vmi_queue.add(Key(namespace_of(migration), migration["spec"].get("vmiName", "")))
        self._throttle()

    def _migrations_of(self, machine: Json) -> list[Json]:
        key = namespace_of(machine), name_of(machine)
        return [item for item in self._migrations.all() if (namespace_of(item), item["spec"].get("vmiName")) == key]

    async def sync_vm(self, key: Key) -> float | None:
        """One pass over a VM: its sync, then its status, even if the sync failed."""
        machine, error, again = self._vms.get(key), "", None
        if machine is None:
            return None
        try:
            binding = self.settings.default_binding
            decision = vm.sync(machine, self._vmi_of(machine), now=_now(), default_binding=binding)
            again = await self._sender.send(decision)
        except Refused as refused:
            error = refused.message
        machine = self._vms.get(key) or machine
        await self._sender.send(vm.status(machine, self._vmi_of(machine), now=_now(), error=error))
        if error:
            raise Refused(error)
        return again

    def _vmi_of(self, machine: Json) -> Json | None:
        found = self._vmis.get(key_of(machine))
        return found if found is not None and controller_uid(found) == uid_of(machine) else None

    async def sync_vmi(self, key: Key) -> float | None:
        """One pass over a VMI: the pod, then the VMI, even if there was an error with the pod."""
        machine, error = self._vmis.get(key), ""
        if machine is None:
            return None
        try:
            await self._sender.send(vmi.sync(self._vmi_view(machine)))
        except Refused as refused:
            error = refused.message
        machine = self._vmis.get(key)
        if machine is None:
            return None
        again = await self._sender.send(vmi.status(self._vmi_view(machine), now=_now(), error=error))
        if error:
            raise Refused(error)
        return again

    def _vmi_view(self, machine: Json) -> vmi.View:
        owner = self._vms.get(key_of(machine))
        return vmi.View(
            vmi=machine,
            pods=pods_of(machine, self._pods.by_index("vmi", uid_of(machine))),
            is_owned=owner is not None and uid_of(owner) == controller_uid(machine),
            has_running_migration=any(is_running(item) for item in self._migrations_of(machine)),
        )

    async def sync_migration(self, key: Key) -> float | None:
        """One pass over a migration (5.1): actions, then the status as the same view has it, then the error."""
        migration = self._migrations.get(key)
        if migration is None:
            return None
        if (first := migration_actions.first_write(migration)) is not NOTHING:
            return await self._sender.send(first)
        view = self._migration_view(migration)
        if view.vmi is None and not is_final(migration) and not is_being_deleted(migration):
            return await self._sender.send(migration_actions.orphaned(migration))
        again, error = None, ""
        if view.vmi is not None:
            try:
                again = await self._sender.send(migration_actions.sync(view, now=_now()))
            except Refused as refused:
                error = refused.message
        await self._sender.send(migration_phase.status(view, now=_now(), is_quota_exceeded="exceeded quota" in error))
        if error:
            raise Refused(error)
        if is_final(view.migration):
            await self._after_the_end(view)
        return again

    async def _after_the_end(self, view: View) -> None:
        await self._sender.send(migration_actions.collect_garbage(view))
        for item in next_pending(self._migrations.all()):
            self.migration_queue.add(key_of(item))

    def _migration_view(self, migration: Json) -> View:
        return View(
            migration=migration,
            vmi=self._vmis.get(Key(namespace_of(migration), migration["spec"].get("vmiName", ""))),
            vmis=self._vmis.all(),
            migrations=self._migrations.all(),
            pods=self._pods.all(),
            settings=self.settings,
        )

    async def update_workloads(self, key: Key) -> float | None:
        """One pass of the workload updater, and the number of those that wait in the KubeVirt CR."""
        kubevirt = self._mirrors["KubeVirt"].get(key)
        if kubevirt is None:
            return None
        vmis, now = self._vmis.all(), _now()
        migrations, settings = self._migrations.all(), read_settings(kubevirt)
        decision = workload_updater.sync(vmis=vmis, migrations=migrations, settings=settings, now=now)
        again = await self._sender.send(decision)
        count = sum(workload_updater.needs_migration(item, now=now) for item in vmis if phase_of(item) == "Running")
        kubevirt = self._mirrors["KubeVirt"].get(key) or kubevirt
        present = status_of(kubevirt)
        if present.get("outdatedVirtualMachineInstanceWorkloads") != count and present:
            wanted = {**kubevirt, "status": {**present, "outdatedVirtualMachineInstanceWorkloads": count}}
            await self._sender.send(Decision(writes=(write("update-status", "KubeVirt", wanted),)))
        return again
