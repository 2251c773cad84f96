"""Everything a decision may look at, gathered from the cache before it is taken; may be stale."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_failures import PodFailure
from nicplug.model.pod_record import PodRecord
from nicplug.model.revision import VmRevision
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What the API server last refused for this object, until the object changes.

    Attributes:
        remedy: what a person can do; "" where the message has the API server's words.
        requests: the requests for NICs that it was refused for, as JSON; "" for what the spec asks for.
    """

    reason: str
    message: str
    remedy: str = ""
    requests: str = ""

    @property
    def sentence(self) -> str:
        """Message and remedy, for what has one field for both."""
        return with_remedy(self.message, self.remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """The settings that planners read.

    Attributes:
        report_delay: how long a status change that nobody acts on waits for company.
        serialise_limit: how long the removal of a pod interface waits for an addition to arrive.
        launcher_image: image of the `compute` container.
        first_report_delay: the same for the first report about a NIC, which is never late.
        attachment_patience: how long a launcher pod waits for a network attachment definition that is missing; one
            that was created together with the VM is heard of by another watch, and may be heard of later.
        batch_window: how long a migration that a NIC needs waits for others to come with it.
        kubevirt_namespace: where the KubeVirt CR lies, for sentences.
        record_patience: how long a pod that another leader may have made is given until it is recorded.
        name_salt: makes names of pods that nobody can know before; new in each process.
    """

    report_delay: timedelta = timedelta(milliseconds=300)
    serialise_limit: timedelta = timedelta(seconds=10)
    launcher_image: str = "nicplug/virt-launcher:dev"
    first_report_delay: timedelta = timedelta(milliseconds=300)
    attachment_patience: timedelta = timedelta(seconds=2)
    batch_window: timedelta = timedelta(milliseconds=200)
    kubevirt_namespace: str = DEFAULT_KUBEVIRT_NAMESPACE
    record_patience: timedelta = timedelta(seconds=5)
    name_salt: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VmView:
    """What `plan.vm.plan_vm` sees.

    Attributes:
        vmi: the VMI of the VM's name, whoever owns it.
        revision: what the VM looked like when that VMI was started, if this very VM took it; None when nobody knows.
        revisions: every revision controlled by this VM's uid.
        config: the KubeVirt CR; None when there is none.
        policy: the cluster's, with what the VM's owner has overridden.
        report_pending_since: when a withheld report was first noticed; None when none is withheld.
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
class VmiView:
    """What `plan.vmi.plan_vmi` sees.

    Attributes:
        pods: every pod that nicplug has made for this VMI (`plan.vmi.own_pods`).
        vm: the owning VM, when its uid is the one in the ownerReference.
        vm_refusal: what was last refused for the owning VM, such as the patch of this VMI's spec.
        spec_seen_at: when this process first saw the VMI's present generation.
        attachments: what is known of the network attachment definitions that the VMI refers to.
        failures: what the dynamic networks controller last said it failed to do on these pods.
        start_failures: why pods of the VMI could not start when that was last tried.
        orphans: the pods that were made for this VMI, when nobody owns them any more.
        podless_since: since when this process knows that there is no launcher pod, or not the one that was asked for;
            None while none is in sight at most.
        migrations: every migration that names this VMI, oldest first.
        has_lost_migration: it is said to be moved by a migration that is known to be gone.
        nodes: every node there is; None when they cannot be read.
        controller: the dynamic networks controller on the node of the VM.
        policy: the cluster's, with what the VM's owner has overridden.
        foreign_pods: the other pods that name the VMI as their controller: nothing may depend on them.
        records: of the pods that nicplug has made.
        gone: uids of those that are known not to exist any more.
        taken: names that a launcher pod cannot have, since somebody else's pod has them.
        discarded: uids of pods that this process has deleted because no status recorded them.
        unrecorded: when pods that another leader may be about to record were first heard of, by uid; not of all, where
            there are many.
    """

    vmi: VirtualMachineInstance
    pods: tuple[LauncherPod, ...]
    vm: VirtualMachine | None
    config: KubevirtConfig | None
    settings: PlanSettings
    spec_seen_at: datetime
    refusal: Refusal | None = None
    vm_refusal: Refusal | None = None
    orphans: tuple[LauncherPod, ...] = ()
    podless_since: datetime | None = None
    report_pending_since: datetime | None = None
    attachments: KnownAttachments = field(default_factory=KnownAttachments)
    failures: tuple[PodFailure, ...] = ()
    start_failures: tuple[PodFailure, ...] = ()
    migrations: tuple[Migration, ...] = ()
    has_lost_migration: bool = False
    nodes: tuple[Node, ...] | None = None
    controller: DynamicController = field(default_factory=DynamicController)
    policy: HotplugPolicy = field(default_factory=HotplugPolicy)
    foreign_pods: tuple[LauncherPod, ...] = ()
    records: tuple[PodRecord, ...] = ()
    gone: frozenset[str] = frozenset()
    taken: frozenset[PodKey] = frozenset()
    unrecorded: Mapping[str, datetime] = field(default_factory=dict)
    discarded: frozenset[str] = frozenset()

    @property
    def hotplug_enabled(self) -> bool:
        """The feature gate is listed in the KubeVirt CR."""
        return self.config is not None and self.config.hotplug_enabled

    @property
    def is_podless(self) -> bool:
        """That there is no launcher pod is known, not only that none is in sight."""
        return self.podless_since is not None

    @property
    def keeps_rollbacks(self) -> bool:
        """What was rolled back stays so: the policy says so still, or cannot be asked now."""
        return self.config is None or self.policy.on_failure is OnFailure.ROLLBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationView:
    """What `plan.migration.plan_migration` sees.

    Attributes:
        vmi: the VMI that the migration names; None when there is none.
        pods: every pod that nicplug has made for that VMI (`plan.vmi.own_pods`).
        migrations: every migration that names the VMI, oldest first; this one too.
        nodes: every node there is; None when they cannot be read.
        attachments: what is known of the network attachment definitions that the VMI refers to.
        gone_pods: pods of this migration that are known not to exist, not only out of sight.
        start_failures: why pods of the VMI could not start when that was last tried.
        slot: what this migration may take up of what the cluster's limits leave.
        report_pending_since: when a withheld report was first noticed; None when none is withheld.
        foreign_pods: the other pods that name the VMI as their controller: nothing may depend on them.
        records: of the pods that nicplug has made.
        taken: names that the target pod cannot have, since somebody else's pod has them.
        unrecorded: when target pods that another leader may be about to record were first heard of, by uid; not of all,
            where there are many.
        budget: the disruption budget of the VMI; None when there is none, or nobody knows.
    """

    migration: Migration
    vmi: VirtualMachineInstance | None
    pods: tuple[LauncherPod, ...]
    migrations: tuple[Migration, ...]
    config: KubevirtConfig | None
    settings: PlanSettings
    nodes: tuple[Node, ...] | None = None
    attachments: KnownAttachments = field(default_factory=KnownAttachments)
    gone_pods: frozenset[PodKey] = frozenset()
    start_failures: tuple[PodFailure, ...] = ()
    slot: MigrationSlot = field(default_factory=MigrationSlot)
    refusal: Refusal | None = None
    report_pending_since: datetime | None = None
    foreign_pods: tuple[LauncherPod, ...] = ()
    records: tuple[PodRecord, ...] = ()
    taken: frozenset[PodKey] = frozenset()
    unrecorded: Mapping[str, datetime] = field(default_factory=dict)
    budget: DisruptionBudget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """What `plan.vmi.disruption_budget` sees.

    Attributes:
        budget: that of this very VMI; None when there is none.
        is_readable: budgets can be read; otherwise nothing is known of them, and none is written.
        is_moving: the VMI has two pods, or a migration has got as far as to make the second one.
        may_move: a migration has not ended, and may make one any moment: whether it has a slot, only the ledger tells.
        migration_uid: of the migration that moves it; "" when nothing does.
        refusal: what the API server last refused of the budget.
    """

    vmi: VirtualMachineInstance
    config: KubevirtConfig | None
    budget: DisruptionBudget | None
    is_readable: bool = True
    is_moving: bool = False
    may_move: bool = False
    migration_uid: str = ""
    refusal: Refusal | None = None
