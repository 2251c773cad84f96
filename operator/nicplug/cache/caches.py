"""The stores of all kinds, their indexes, and which keys to reconcile after an event."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.cache.attachment_index import AttachmentIndex
from nicplug.cache.attachments import Attachments
from nicplug.cache.budgets import Budgets
from nicplug.cache.dynamic_controllers import DynamicControllers
from nicplug.cache.kinds import CachedKind
from nicplug.cache.kubevirts import Kubevirts
from nicplug.cache.launcher_pods import LauncherPods
from nicplug.cache.migration_index import MigrationIndex
from nicplug.cache.multus_configs import MultusConfigs
from nicplug.cache.nodes import Nodes
from nicplug.cache.operation_counts import OperationCounts
from nicplug.cache.pending_index import PendingIndex
from nicplug.cache.pod_failures import PodFailures
from nicplug.cache.reports import Reports
from nicplug.cache.revisions import Revisions
from nicplug.cache.slot_book import SlotBook
from nicplug.cache.spec_versions import SpecVersions
from nicplug.cache.store import Change, Store
from nicplug.model.attachments import KnownAttachments, referenced_keys
from nicplug.model.dynamic_controller import ControllerFinder, DynamicController
from nicplug.model.eviction import EvictionStrategy
from nicplug.model.interface_report import InterfaceReport, parse_report
from nicplug.model.keys import (
    SLOTS,
    AttachmentKey,
    BudgetKey,
    KubevirtKey,
    MigrationKey,
    ObjectKey,
    PodKey,
    ReportKey,
    RevisionKey,
    VmiKey,
    VmKey,
    WorkKey,
)
from nicplug.model.kubevirt import DEFAULT_KUBEVIRT_NAMESPACE, KubevirtConfig
from nicplug.model.metadata import mapping, objects, resource_version, text
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.migration_configuration import MigrationLimits
from nicplug.model.mode import Mode
from nicplug.model.nad_policy import AttachmentAccess, MultusFindings, NadRules, attachment_access
from nicplug.model.pod import parse_pod
from nicplug.model.revision import parse_revision
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES
from nicplug.model.vm import VirtualMachine, parse_vm
from nicplug.model.vmi import VirtualMachineInstance, parse_vmi


class Caches:
    """Everything nicplug knows about the cluster.

    Args:
        clock: current time, UTC; stamps when a new generation of a VMI was first seen.
        kubevirt_namespace: namespace of the KubeVirt CR; CRs in other namespaces have no effect.
        mode: in companion mode the records of a VMI's NICs are those of its InterfaceReport.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        kubevirt_namespace: str = DEFAULT_KUBEVIRT_NAMESPACE,
        mode: Mode = Mode.STANDALONE,
    ) -> None:
        self._clock = clock
        self.mode = mode
        self.reports = Reports()
        self._vmis_by_attachment = AttachmentIndex()
        self.vms: Store[VirtualMachine] = Store(on_forget=self._vmis_by_attachment.drop_template)
        self.vmis: Store[VirtualMachineInstance] = Store(on_forget=self._forget_vmi)
        self.migrations: Store[Migration] = Store(on_forget=self._forget_migration)
        self.revisions = Revisions()
        self.kubevirts = Kubevirts(namespace=kubevirt_namespace)
        self.attachments = Attachments(clock=clock)
        self._migrations = MigrationIndex()
        self.launchers = LauncherPods(
            vmis=self.vmis,
            migrations=self._migrations,
            clock=clock,
            on_forget=self._forget_pod,
        )
        self.pod_failures = PodFailures(clock=clock, is_ours=self.launchers.is_launcher)
        self.nodes = Nodes()
        self.controllers = DynamicControllers()
        self.multus = MultusConfigs(clock=clock)
        self._access: tuple[NadRules, MultusFindings, AttachmentAccess] | None = None
        self.budgets = Budgets()
        self.slots = SlotBook()
        self._pending = PendingIndex()
        self._leaving: set[VmiKey] = set()
        self.operations = OperationCounts()
        self.specs = SpecVersions(clock=clock, mode=mode)

    def observe(self, kind: CachedKind, raw: Mapping[str, Any]) -> list[WorkKey]:
        """Store the current version of an object; returns the keys to reconcile."""
        if self._is_echo(kind, raw):
            return []
        match kind:
            case CachedKind.VM:
                return self._put_vm(parse_vm(raw, known=self.vms.get(VmKey(*_name_of(raw)))))
            case CachedKind.VMI:
                before = self.vmis.get(VmiKey(*_name_of(raw)))
                vmi = parse_vmi(raw, known=before)
                change = self.vmis.put(vmi)
                if self.vmis.get(vmi.key) is vmi:
                    self.specs.note(vmi)
                    self.launchers.note_records(vmi, before=before)
                    self._vmis_by_attachment.put(vmi)
                    self._index_records(vmi, mapping(raw.get("status")))
                    (self._leaving.add if vmi.evacuation_node else self._leaving.discard)(vmi.key)
                return self._vmi_keys(change)
            case CachedKind.MIGRATION:
                return self._put_migration(parse_migration(raw))
            case CachedKind.POD:
                return self._with_budgets(self.launchers.put(parse_pod(raw)))
            case CachedKind.REVISION:
                return [*self.revisions.vms(self.revisions.put(parse_revision(raw)))]
            case CachedKind.KUBEVIRT:
                return self._kubevirt_keys(is_news=self.kubevirts.put(raw))
            case CachedKind.REPORT:
                return self._report_keys(self.reports.put(parse_report(raw)))

    def _is_echo(self, kind: CachedKind, raw: Mapping[str, Any]) -> bool:
        """True if the store has this version or a newer one: most watch lines only echo the answer to a write."""
        metadata = mapping(raw.get("metadata"))
        return self.knows(kind.value, uid=text(metadata.get("uid")), version=resource_version(metadata))

    def knows(self, kind: str, *, uid: str, version: int) -> bool:
        """True if this version of the object, or a newer one, is stored, or the object is known to be deleted.

        Args:
            kind: the API's name of the kind.
        """
        return 0 < version <= self.store_of(CachedKind(kind)).version_of(uid)

    def note_unreadable(self, kind: CachedKind, raw: Mapping[str, Any]) -> None:
        """Record an object that `observe` could not parse, so that it does not keep the caches from being complete."""
        metadata = mapping(raw.get("metadata"))
        self.store_of(kind).note_unreadable(text(metadata.get("uid")), version=resource_version(metadata))

    def forget(self, kind: CachedKind, raw: Mapping[str, Any]) -> list[WorkKey]:
        """Remove a deleted object; returns the keys to reconcile."""
        if kind is CachedKind.POD:
            return self._with_budgets(self.launchers.forget_line(parse_pod(raw)))
        metadata = mapping(raw.get("metadata"))
        key = ObjectKey(text(metadata.get("namespace")), text(metadata.get("name")))
        return self.forget_uid(kind, key=key, uid=text(metadata.get("uid")))

    def forget_uid(self, kind: CachedKind, *, key: ObjectKey, uid: str, version: float = math.inf) -> list[WorkKey]:
        """Remove an object of which only name and uid are known; returns the keys to reconcile.

        Args:
            version: the resourceVersion at which it was not visible; infinite if it is deleted.
        """
        match kind:
            case CachedKind.VM:
                return self._vm_keys(self.vms.remove(key=VmKey(key.namespace, key.name), uid=uid))
            case CachedKind.VMI:
                return self._vmi_keys(self.vmis.remove(key=VmiKey(key.namespace, key.name), uid=uid))
            case CachedKind.MIGRATION:
                return self._migration_keys(self.migrations.remove(key=MigrationKey(key.namespace, key.name), uid=uid))
            case CachedKind.POD:
                pod = PodKey(key.namespace, key.name)
                return self._with_budgets(self.launchers.remove(pod, uid=uid, version=version))
            case CachedKind.REVISION:
                change = self.revisions.store.remove(key=RevisionKey(key.namespace, key.name), uid=uid)
                return [*self.revisions.vms(change)]
            case CachedKind.KUBEVIRT:
                return self._kubevirt_keys(is_news=self.kubevirts.remove(KubevirtKey(key.namespace, key.name), uid=uid))
            case CachedKind.REPORT:
                return self._report_keys(self.reports.remove(key=ReportKey(key.namespace, key.name), uid=uid))

    def store_of(self, kind: CachedKind) -> Store[Any]:
        """Return the store of a kind."""
        match kind:
            case CachedKind.VM:
                return self.vms
            case CachedKind.VMI:
                return self.vmis
            case CachedKind.MIGRATION:
                return self.migrations
            case CachedKind.POD:
                return self.launchers.store
            case CachedKind.REVISION:
                return self.revisions.store
            case CachedKind.KUBEVIRT:
                return self.kubevirts.store
            case CachedKind.REPORT:
                return self.reports

    def all_keys(self) -> list[WorkKey]:
        """Return all keys, for a new leader."""
        return [
            *(vm.key for vm in self.vms),
            *(vmi.key for vmi in self.vmis),
            *(migration.key for migration in self.migrations),
            *([SLOTS] if len(self.migrations) else []),
            # Its VM or VMI may be gone.
            *(VmiKey(report.key.namespace, report.key.name) for report in self.reports),
            *self.due_budgets(),
        ]

    def due_budgets(self) -> list[WorkKey]:
        """Return the budgets of all VMIs that differ, or may differ, from the desired state."""
        return self._due_budgets(vmi.key for vmi in self.vmis)

    def migrations_of(self, key: VmiKey) -> tuple[Migration, ...]:
        """Return the migrations that name this VMI, oldest first; they may refer to an earlier VMI of that name."""
        return self._migrations.of(key)

    def unfinished_migrations(self) -> tuple[Migration, ...]:
        """Return the unfinished migrations of all VMIs."""
        return self._migrations.unfinished()

    def limits(self) -> MigrationLimits:
        """Return the limits on parallel migrations; KubeVirt's defaults without a KubeVirt CR."""
        config = self.config()
        return config.limits if config is not None else MigrationLimits()

    def attachments_of(self, vmi: VirtualMachineInstance, *, vm: VirtualMachine | None = None) -> KnownAttachments:
        """Return what is known about the NADs in the VMI's spec and its VM's template, which may add more NICs.

        Omits NADs that the VMI may not use, so that it cannot depend on whether they exist.
        """
        networks = (*vmi.networks, *(vm.networks if vm is not None else ()))
        access, namespace = self.attachment_access(), vmi.key.namespace
        keys = referenced_keys(networks, namespace=namespace)
        return self.attachments.known((key for key in keys if access.allows(key, namespace=namespace)), access=access)

    def attachment_access(self) -> AttachmentAccess:
        """Return which namespaces' NADs a VM may use."""
        config, findings = self.config(), self.multus.findings
        rules = config.nad_rules if config is not None else NadRules()
        if self._access is None or self._access[:2] != (rules, findings):
            self._access = (rules, findings, attachment_access(rules, findings))
        return self._access[2]

    def referring(self, attachments: Iterable[AttachmentKey] | None) -> list[WorkKey]:
        """Return the VMIs that refer to one of these NADs, and their migrations; None for any NAD.

        Omits VMIs that may not use the NAD: a reconciliation would reveal to the owner that the NAD exists. Omits
        stopped VMs whose template names the NAD: their pod is created from what is known at that time.
        """
        access = self.attachment_access()
        named = self._vmis_by_attachment.referring(attachments, access=access)
        vmis = [key for key in named if self.vmis.get(key) is not None]
        return [*vmis, *(item.key for vmi in vmis for item in self.migrations_of(vmi) if not item.is_final)]

    def controller_of(self, vmi: VirtualMachineInstance) -> DynamicController:
        """Return the dynamic networks controller on the VMI's node."""
        return self.controllers.on_node(vmi.node_name, node=self.nodes.get(vmi.node_name))

    def waiting_for_a_node(self) -> list[WorkKey]:
        """Return the keys that nodes affect: VMIs with pending NICs or being evacuated, and unfinished migrations."""
        vmis = dict.fromkeys([*self._pending.everywhere(), *self._leaving])
        return [*vmis, *(item.key for item in self._migrations.unfinished())]

    def waiting_for_controller(self, nodes: Iterable[str] | None) -> list[WorkKey]:
        """Return the VMIs with pending NICs on one of these nodes; None for any node."""
        return list(self._pending.everywhere() if nodes is None else self._pending.on(nodes))

    def config(self) -> KubevirtConfig | None:
        """Return the effective KubeVirt CR, or None."""
        return self.kubevirts.config()

    def trusted_namespaces(self) -> tuple[str, ...]:
        """Return the namespaces whose DaemonSets and ConfigMaps are trusted as the cluster admin's."""
        config = self.config()
        return config.trusted_namespaces if config is not None else DEFAULT_TRUSTED_NAMESPACES

    def _index_records(self, vmi: VirtualMachineInstance, status: Mapping[str, Any]) -> None:
        """Index the records of a VMI's NICs: in standalone mode those in `status`, the VMI's own."""
        if self.mode is Mode.COMPANION:
            report = self.reports.of(vmi)
            status = report.status.members if report is not None else {}
        rows = objects(status.get("interfaceOperations"))
        self._pending.put(vmi, rows)
        self.operations.put(vmi.key, rows)

    def _report_keys(self, change: Change[InterfaceReport] | None) -> list[WorkKey]:
        if change is None:
            return []
        keys = [VmiKey(report.key.namespace, report.key.name) for report in change.records]
        for vmi in map(self.vmis.get, keys):
            if vmi is not None:
                self._index_records(vmi, {})
        return _unique(keys)

    def _forget_pod(self, uid: str) -> None:
        self.pod_failures.forget(uid)

    def _put_vm(self, vm: VirtualMachine) -> list[WorkKey]:
        change = self.vms.put(vm)
        if self.vms.get(vm.key) is vm:
            self._vmis_by_attachment.put_template(vm)
        return self._vm_keys(change)

    def _put_migration(self, migration: Migration) -> list[WorkKey]:
        change = self.migrations.put(migration)
        if self.migrations.get(migration.key) is migration:
            self._migrations.put(migration)
            if migration.target_pod is not None:
                # The uid stays known until the VMI's status records it: the migration may be deleted before.
                self.launchers.made.note_recorded(migration.uid, vmi_uid="", uids=())
        return self._migration_keys(change)

    def _forget_migration(self, migration: Migration) -> None:
        self._migrations.drop(migration)
        self.launchers.forget_migration(migration.uid)

    def _forget_vmi(self, vmi: VirtualMachineInstance) -> None:
        self.specs.forget(vmi.uid)
        self._vmis_by_attachment.drop(vmi)
        self._pending.drop(vmi.key)
        self._leaving.discard(vmi.key)
        self.operations.drop(vmi.key)
        self.launchers.forget_vmi(vmi.uid)

    def _vm_keys(self, change: Change[VirtualMachine] | None) -> list[WorkKey]:
        """Return the VM and its VMI, whose records include NICs that are only in the template."""
        if change is None:
            return []
        vmis = (VmiKey(vm.key.namespace, vm.key.name) for vm in change.records)
        return _unique(
            [*(record.key for record in change.records), *(key for key in vmis if self._concerns(key, change))]
        )

    def _concerns(self, key: VmiKey, change: Change[VirtualMachine]) -> bool:
        """True if the VMI may be affected: a running VMI ignores its VM's status, one that ends waits for it."""
        before, after = change.before, change.after
        if before is None or after is None or replace(before, status_text=after.status_text) != after:
            return True
        vmi = self.vmis.get(key)
        return vmi is not None and (vmi.deleting or vmi.is_final)

    def _vmi_keys(self, change: Change[VirtualMachineInstance] | None) -> list[WorkKey]:
        """Return the VMI, its migrations, and the VM of its name, whoever owns the VMI: that VM may have waited for it.

        A failed migration may wait for the guest that it brings after all. Once the VMI is deleted, its finished
        migrations are soon removed as well.
        """
        if change is None:
            return []
        named = [item for vmi in change.records for item in self.migrations_of(vmi.key)]
        migrations = [item.key for item in named if change.after is None or not item.is_cleaned_up]
        vms = (VmKey(vmi.key.namespace, vmi.key.name) for vmi in change.records)
        slots = [SLOTS] if any(vmi.key in self.slots.lingering for vmi in change.records) else []
        budgets = self._due_budgets({vmi.key for vmi in change.records})
        return _unique([*(record.key for record in change.records), *migrations, *vms, *slots, *budgets])

    def _migration_keys(self, change: Change[Migration] | None) -> list[WorkKey]:
        """Return the migration, its VMI, and that VMI's other unfinished migrations, which may wait for this one."""
        if change is None:
            return []
        vmis = [migration.vmi for migration in change.records]
        others = [item.key for vmi in vmis for item in self.migrations_of(vmi) if not item.is_final]
        return _unique(
            [*(migration.key for migration in change.records), *vmis, *others, *self._due_budgets(set(vmis))]
        )

    def _with_budgets(self, keys: list[WorkKey]) -> list[WorkKey]:
        """Add the budgets of the VMIs among the keys: a raised budget is lowered when a pod has ended."""
        return [*keys, *self._due_budgets(key for key in keys if isinstance(key, VmiKey))]

    def _due_budgets(self, vmis: Iterable[VmiKey]) -> list[WorkKey]:
        """Return the budgets that need a change: none in steady state, protected or not, so that it costs no pass."""
        config = self.config()
        default = config.eviction_strategy if config is not None else EvictionStrategy.NONE
        found = (self.vmis.get(key) for key in vmis)
        due = (vmi for vmi in found if vmi is not None and self.budgets.is_due(vmi, default=default))
        return [BudgetKey(vmi.key.namespace, vmi.key.name) for vmi in due]

    def _kubevirt_keys(self, *, is_news: bool) -> list[WorkKey]:
        """Return all keys if the effective KubeVirt CR has changed; none for changes of other CRs."""
        if not is_news:
            return []
        config = self.config()
        self.multus.look_in(self.trusted_namespaces())
        finder = config.controller_finder if config is not None else ControllerFinder()
        by_default = config is None or config.trusts_by_default
        self.controllers.look_for(finder, namespaces=self.trusted_namespaces(), by_default=by_default)
        return self.all_keys()


def _name_of(raw: Mapping[str, Any]) -> tuple[str, str]:
    metadata = mapping(raw.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def _unique(keys: Iterable[WorkKey]) -> list[WorkKey]:
    return list(dict.fromkeys(keys))
