"""One pass of each controller over one key, as a generator: it yields what to write and receives the outcome. Pure.

Who drives it sends each decision, in order, and sends back when to look again, or throws `WriteRefused`. What the
generator returns is the seconds until another look, None for none; an error that it raises means a repetition with
back-off.
"""

import random
from collections.abc import Callable, Generator, Sequence
from datetime import datetime

from nicplug_sandbox.kubevirt import (
    evacuation,
    migration_actions,
    migration_phase,
    run_strategy,
    vm,
    vm_status,
    vmi,
    workload_updater,
)
from nicplug_sandbox.kubevirt.launcher_pod import pods_of
from nicplug_sandbox.kubevirt.migration_rules import View as MigrationView
from nicplug_sandbox.kubevirt.migration_rules import is_running, next_pending
from nicplug_sandbox.kubevirt.objects import (
    Json,
    controller_uid,
    is_being_deleted,
    is_final,
    name_of,
    namespace_of,
    status_of,
    uid_of,
)
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.view import Cache, Key, Queue, key_of, migrations_of, settings_in, vmi_key
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Write, WriteRefused, change, write

Pass = Generator[Decision, float | None, float | None]
COUNT = "outdatedVirtualMachineInstanceWorkloads"


class Passes:
    """The controllers of one virt-controller, and the little that it remembers itself.

    Args:
        cache: what they see.
        clock: current time.
        wake: makes another key due now.
        randomness: of start back-off and of the workload updater's choice.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        clock: Callable[[], datetime],
        wake: Callable[[Queue, Key], None],
        randomness: random.Random | None = None,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._wake = wake
        self._randomness = randomness or random.Random()
        self._last_eviction: datetime | None = None
        self._failed_updates = 0

    def begin(self, queue: Queue, key: Key) -> Pass:
        """A pass of the controller that works on this queue."""
        match queue:
            case "vm":
                return self._vm(key)
            case "vmi":
                return self._vmi(key)
            case "migration":
                return self._migration(key)
            case "workload-updater":
                return self._update_workloads(key)
            case "evacuation":
                return self._evacuate(key)

    def _vm(self, key: Key) -> Pass:
        """A VM: its sync, then its status, even if the sync failed."""
        view = self._vm_view(key)
        if view is None:
            return None
        again, error = None, None
        try:
            first = vm.first_writes(view)
            yield first
            if any(item.verb == "update" for item in first.writes):
                return None  # the API version; its event brings the VM back
            view = self._vm_view(key) or view
            again = yield vm.sync(view, now=self._clock())
        except WriteRefused as refused:
            error = refused
        view = self._vm_view(key)
        if view is not None:
            yield vm_status.status(view, now=self._clock(), error=error, pick=self._randomness.randint)
            yield vm.let_go(view.vmi)
        if error is not None:
            raise error
        return again

    def _vm_view(self, key: Key) -> run_strategy.View | None:
        machine = self._cache.get("VirtualMachine", key)
        if machine is None:
            return None
        guest = self._cache.get("VirtualMachineInstance", key)
        is_own = guest is not None and controller_uid(guest) == uid_of(machine)
        revisions = self._cache.all("ControllerRevision")
        return run_strategy.View(
            vm=machine, vmi=guest if is_own else None, revisions=revisions, settings=self._settings
        )

    @property
    def _settings(self) -> ClusterSettings:
        return settings_in(self._cache)

    def _vmi(self, key: Key) -> Pass:
        """A VMI: its pod, then the VMI itself, even if there was an error with the pod."""
        view = self._vmi_view(key)
        if view is None:
            return None
        error = None
        try:
            yield vmi.sync(view)
        except WriteRefused as refused:
            error = refused
        view = self._vmi_view(key)
        if view is None:
            return None
        again = yield vmi.status(view, now=self._clock(), error=error)
        if error is not None:
            raise error
        return again

    def _vmi_view(self, key: Key) -> vmi.View | None:
        machine = self._cache.get("VirtualMachineInstance", key)
        if machine is None:
            return None
        owner = self._cache.get("VirtualMachine", key)
        settings = self._settings
        return vmi.View(
            vmi=machine,
            pods=pods_of(machine, self._cache.launchers(uid_of(machine))),
            is_owned=owner is not None and uid_of(owner) == controller_uid(machine),
            has_running_migration=any(is_running(item) for item in migrations_of(self._cache, machine)),
            settings=settings,
            networks=self._networks(settings),
        )

    def _networks(self, settings: ClusterSettings) -> frozenset[tuple[str, str]] | None:
        if settings.is_on("ExternalNetResourceInjection"):
            return None
        found = self._cache.all("NetworkAttachmentDefinition")
        return frozenset((namespace_of(item), name_of(item)) for item in found)

    def _migration(self, key: Key) -> Pass:
        """A migration (5.1): actions, then the status as the same view has it, then the error."""
        migration = self._cache.get("VirtualMachineInstanceMigration", key)
        if migration is None:
            return None
        if (first := migration_actions.first_write(migration)) is not NOTHING:
            return (yield first)
        view = self._migration_view(migration)
        if view.vmi is None and not is_final(migration) and not is_being_deleted(migration):
            return (yield migration_actions.orphaned(migration))
        again, error = None, None
        if view.vmi is not None:
            try:
                again = yield migration_actions.sync(view, now=self._clock())
            except WriteRefused as refused:
                error = refused
        is_quota_exceeded = error is not None and "exceeded quota" in error.message
        yield migration_phase.status(view, now=self._clock(), is_quota_exceeded=is_quota_exceeded)
        if error is not None:
            raise error
        if is_final(view.migration):
            yield migration_actions.collect_garbage(view)
            for item in next_pending(self._cache.all("VirtualMachineInstanceMigration")):
                self._wake("migration", key_of(item))
        return again

    def _migration_view(self, migration: Json) -> MigrationView:
        settings = self._settings
        return MigrationView(
            migration=migration,
            vmi=self._cache.get("VirtualMachineInstance", vmi_key(migration)),
            vmis=self._cache.all("VirtualMachineInstance"),
            migrations=self._cache.all("VirtualMachineInstanceMigration"),
            pods=self._cache.all("Pod"),
            settings=settings,
            networks=self._networks(settings),
        )

    def _update_workloads(self, key: Key) -> Pass:
        """The workload updater, and the number of those that wait in the KubeVirt CR."""
        kubevirt, settings = self._cache.get("KubeVirt", key), self._settings
        if kubevirt is None or not settings.is_deployed:
            return None
        view = workload_updater.View(
            vmis=self._cache.all("VirtualMachineInstance"),
            migrations=self._cache.all("VirtualMachineInstanceMigration"),
            settings=settings,
            pods=self._cache.all("Pod"),
            last_eviction=self._last_eviction,
        )
        found = workload_updater.sync(view, now=self._clock(), shuffle=self._randomness.shuffle)
        if found.evicts:
            self._last_eviction = self._clock()
        error = yield from _each((*_tell_count(kubevirt, found.outdated), *found.writes))
        if error is None:
            self._failed_updates = 0
            return workload_updater.BUSY_SECONDS if found.again else None
        throttle, longest = workload_updater.THROTTLE, workload_updater.LONGEST_BACKOFF
        doublings, self._failed_updates = self._failed_updates, min(self._failed_updates + 1, 16)
        return min(throttle * float(2**doublings), longest).total_seconds()

    def _evacuate(self, key: Key) -> Pass:
        """A node that VMIs are to leave."""
        node = self._cache.get("Node", key)
        if node is None:
            return None
        view = evacuation.View(
            node=node,
            vmis=self._cache.all("VirtualMachineInstance"),
            migrations=self._cache.all("VirtualMachineInstanceMigration"),
            pods=self._cache.all("Pod"),
            settings=self._settings,
        )
        found = evacuation.sync(view, now=self._clock())
        yield Decision(events=found.events)
        error = yield from _each(found.writes)
        if error is not None:
            raise error
        return found.again


def _each(writes: Sequence[Write]) -> Generator[Decision, float | None, WriteRefused | None]:
    """Send writes that stand for themselves; the first refusal, when there was one."""
    error = None
    for item in writes:
        try:
            yield Decision(writes=(item,))
        except WriteRefused as refused:
            error = error or refused
    return error


def _tell_count(kubevirt: Json, count: int) -> tuple[Write, ...]:
    present = status_of(kubevirt).get(COUNT)
    if present == count:
        return ()
    body = change(f"/status/{COUNT}", old=present, new=count)
    complaint = (
        "unable to patch kubevirt obj status to update the outdatedVirtualMachineInstanceWorkloads valued: {error}"
    )
    return (write("patch-status", "KubeVirt", kubevirt, body=body, complaint=complaint),)
