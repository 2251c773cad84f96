"""Everything a decision may depend on, gathered from the cache before it is taken; may be stale."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from nicplug.model.attachments import KnownAttachments
from nicplug.model.dynamic_controller import DynamicController
from nicplug.model.eviction import DisruptionBudget
from nicplug.model.hotplug_policy import HotplugPolicy, OnFailure
from nicplug.model.keys import PodKey
from nicplug.model.kubevirt import DEFAULT_KUBEVIRT_NAMESPACE, KubevirtConfig
from nicplug.model.migration import Migration
from nicplug.model.node import Node
from nicplug.model.operations import with_remedy
from nicplug.model.pod import LauncherPod, PodRecord
from nicplug.model.pod_failures import PodFailure
from nicplug.model.revision import VmRevision
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The last write for this object that the API server rejected, until the object changes.

    Attributes:
        remedy: what the user can do; "" if the message has the API server's words.
        requests: the requests for NICs that it was rejected for, as JSON; "" if it was for the spec.
    """

    reason: str
    message: str
    remedy: str = ""
    requests: str = ""

    @property
    def sentence(self) -> str:
        """Message and remedy, for targets with one field for both."""
        return with_remedy(self.message, self.remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """The settings that planners read.

    Attributes:
        report_delay: how long a status change that nothing acts on is delayed, to be combined with others.
        serialise_limit: how long the removal of a pod interface waits for an addition to be attached.
        launcher_image: image of the `compute` container.
        first_report_delay: delay of the first report about a NIC, which is never late.
        attachment_patience: how long a launcher pod waits for a missing network attachment definition; one that was
            created together with the VM comes through another watch, possibly later.
        batch_window: how long a migration for a NIC waits for other NICs to share it.
        kubevirt_namespace: namespace of the KubeVirt CR, for sentences.
        record_patience: how long to wait for the record of a pod that another leader may have created.
        renews_target_pods: a target pod that lacks a NIC is replaced before the hand-off; not by virt-controller.
        asks_pods: nicplug writes the networks annotation of pods; beside KubeVirt, virt-controller does.
        name_salt: makes names of pods unpredictable; new in each process.
    """

    report_delay: timedelta = timedelta(milliseconds=300)
    serialise_limit: timedelta = timedelta(seconds=10)
    launcher_image: str = "nicplug/virt-launcher:dev"
    first_report_delay: timedelta = timedelta(milliseconds=300)
    attachment_patience: timedelta = timedelta(seconds=2)
    batch_window: timedelta = timedelta(milliseconds=200)
    kubevirt_namespace: str = DEFAULT_KUBEVIRT_NAMESPACE
    record_patience: timedelta = timedelta(seconds=5)
    renews_target_pods: bool = True
    asks_pods: bool = True
    name_salt: str = field(default="", repr=False)

    def beside_kubevirt(self) -> "PlanSettings":
        """Return the settings for VMs that virt-controller runs."""
        return replace(self, renews_target_pods=False, asks_pods=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VmView:
    """The input of `plan.vm.plan_vm`.

    Attributes:
        vmi: the VMI of the VM's name, whoever owns it.
        revision: the VM's template at the start of that VMI, if this very VM recorded it; None if unknown.
        revisions: every revision controlled by this VM's uid.
        config: the KubeVirt CR; None if there is none.
        policy: the cluster's, with the overrides of the VM's owner.
        report_pending_since: when a withheld report was first noticed; None if none is withheld.
    """

    vm: VirtualMachine
    vmi: VirtualMachineInstance | None
    config: KubevirtConfig | None
    settings: PlanSettings
    policy: HotplugPolicy = field(default_factory=HotplugPolicy)
    revision: VmRevision | None = None
    revisions: tuple[VmRevision, ...] = ()
    refusal: Refusal | None = None
    report_pending_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodsView:
    """What the planners of a VMI and of its migrations both depend on.

    Attributes:
        pods: every pod that nicplug created for the VMI (`plan.vmi.own_pods`).
        foreign_pods: the other pods that name the VMI as their controller: nothing may depend on them.
        records: the records of the pods that nicplug created.
        taken: names that a pod cannot have, since pods of other owners have them.
        unrecorded: when this process first saw each pod that another leader may be about to record, by uid; incomplete
            if there are many.
        migrations: every migration that names the VMI, oldest first.
        nodes: all nodes; None if they cannot be read.
        attachments: what is known about the network attachment definitions that the VMI refers to.
        start_failures: why pods of the VMI could not start at the last attempt.
        report_pending_since: when a withheld report was first noticed; None if none is withheld.
    """

    pods: tuple[LauncherPod, ...]
    config: KubevirtConfig | None
    settings: PlanSettings
    foreign_pods: tuple[LauncherPod, ...] = ()
    records: tuple[PodRecord, ...] = ()
    taken: frozenset[PodKey] = frozenset()
    unrecorded: Mapping[str, datetime] = field(default_factory=dict)
    migrations: tuple[Migration, ...] = ()
    nodes: tuple[Node, ...] | None = None
    attachments: KnownAttachments = field(default_factory=KnownAttachments)
    start_failures: tuple[PodFailure, ...] = ()
    refusal: Refusal | None = None
    report_pending_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VmiView(PodsView):
    """The input of `plan.vmi.plan_vmi`.

    Attributes:
        vm: the owning VM, if its uid is the one in the ownerReference.
        vm_refusal: the last rejected write for the owning VM, such as the patch of this VMI's spec.
        spec_seen_at: when this process first saw the VMI's current generation.
        failures: the latest failures that the dynamic networks controller reported for these pods.
        orphans: the pods that were created for this VMI and that have no owner any more.
        podless_since: since when this process knows that there is no launcher pod, or not the requested one; None if it
            may only be missing in the cache.
        has_lost_migration: True if its status names a running migration that is known to be gone.
        controller: the dynamic networks controller on the node of the VM.
        policy: the cluster's, with the overrides of the VM's owner.
        gone: uids of recorded pods that are known not to exist any more.
        discarded: uids of pods that this process has deleted because no status recorded them.
    """

    vmi: VirtualMachineInstance
    vm: VirtualMachine | None
    spec_seen_at: datetime
    vm_refusal: Refusal | None = None
    orphans: tuple[LauncherPod, ...] = ()
    podless_since: datetime | None = None
    failures: tuple[PodFailure, ...] = ()
    has_lost_migration: bool = False
    controller: DynamicController = field(default_factory=DynamicController)
    policy: HotplugPolicy = field(default_factory=HotplugPolicy)
    gone: frozenset[str] = frozenset()
    discarded: frozenset[str] = frozenset()

    @property
    def hotplug_enabled(self) -> bool:
        """True if the feature gate is listed in the KubeVirt CR."""
        return self.config is not None and self.config.hotplug_enabled

    @property
    def is_podless(self) -> bool:
        """True if it is known that there is no launcher pod, not only that the cache has none."""
        return self.podless_since is not None

    @property
    def keeps_rollbacks(self) -> bool:
        """True if rolled-back changes stay rolled back: the policy still says so, or is unknown now."""
        return self.config is None or self.policy.on_failure is OnFailure.ROLLBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationView(PodsView):
    """The input of `plan.migration.plan_migration`.

    Attributes:
        migration: one of `migrations`.
        vmi: the VMI that the migration names; None if there is none.
        gone_pods: pods of this migration that are known not to exist, not only missing in the cache.
        slot: this migration's share of the cluster's limits.
        budget: the disruption budget of the VMI; None if there is none, or if unknown.
    """

    migration: Migration
    vmi: VirtualMachineInstance | None
    gone_pods: frozenset[PodKey] = frozenset()
    slot: MigrationSlot = field(default_factory=MigrationSlot)
    budget: DisruptionBudget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """The input of `plan.vmi.disruption_budget`.

    Attributes:
        budget: that of this very VMI; None if there is none.
        is_readable: True if budgets can be read; otherwise nothing is known about them, and none is written.
        is_moving: True if the VMI has two pods, or a migration has progressed to creating the second one.
        may_move: True if a migration has not ended and may create one at any moment: only the ledger shows whether it
            has a slot.
        migration_uid: uid of the migration under way; "" for none.
        refusal: the last rejected write of the budget.
    """

    vmi: VirtualMachineInstance
    config: KubevirtConfig | None
    budget: DisruptionBudget | None
    is_readable: bool = True
    is_moving: bool = False
    may_move: bool = False
    migration_uid: str = ""
    refusal: Refusal | None = None
