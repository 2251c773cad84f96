"""Every branch of the choice of a path: evidence -> verdict, path, reason, what is said."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.unit.plan.nic.path.evidence import (
    NO_DEVICE,
    NO_NODE,
    NOT_DEPLOYED,
    NOT_ON_NODE,
    UNKNOWN,
    at,
    evidence,
    gone,
    not_ready,
)

from nicplug.model.hotplug_policy import DynamicPath, HotplugPolicy, MigrationPolicy, OnFailure
from nicplug.model.operations import OperationPath, OperationType
from nicplug.plan.candidates import Candidates
from nicplug.plan.nic.path import messages as say
from nicplug.plan.nic.path.blame import MAX_MIGRATIONS
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.nic.path.rules import Verdict
from nicplug.plan.reasons import Reason

UNPLUG = OperationType.UNPLUG
ALWAYS = HotplugPolicy(
    dynamic_path=DynamicPath.ALWAYS,
    origins={"dynamicPath": "annotation nicplug.io/dynamic-path of VirtualMachine default/a"},
)
NEVER = HotplugPolicy(dynamic_path=DynamicPath.NEVER, origins={"dynamicPath": "KubeVirt CR kubevirt/kubevirt"})
HOLD = HotplugPolicy(on_failure=OnFailure.HOLD, origins={"onFailure": "KubeVirt CR kubevirt/kubevirt"})
ROLLBACK = HotplugPolicy(on_failure=OnFailure.ROLLBACK, origins={"onFailure": "KubeVirt CR kubevirt/kubevirt"})
NO_MIGRATION = HotplugPolicy(
    migration=MigrationPolicy.NEVER,
    origins={"migration": "spec.configuration.network.hotplug.migration of KubeVirt CR kubevirt/kubevirt"},
)
NO_MIGRATION_AND_ROLLBACK = replace(
    ROLLBACK, migration=MigrationPolicy.NEVER, origins={**NO_MIGRATION.origins, **ROLLBACK.origins}
)
ERROR = "no such device"
BLOCKING_NETWORK = say.blocked_by("green", network="default/green-net", error="no such bridge")
NO_SLOT = "the guest has at most 8 PCI slots for NICs, 8 taken"


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    verdict: Verdict
    path: OperationPath
    reason: Reason
    says: str
    again_after: float | None = None
    next_after: float | None = None
    asks_pod: bool = True
    after: float = 1.0
    evidence: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def gathered(self) -> PathEvidence:
        return evidence(after=self.after, **self.evidence)


def case(name: str, verdict: Verdict, path: OperationPath, reason: Reason, says: str, **more: Any) -> Case:
    own = {item: more.pop(item) for item in ("again_after", "next_after", "asks_pod", "after") if item in more}
    return Case(name=name, verdict=verdict, path=path, reason=reason, says=says, evidence=more, **own)


IN_PLACE_CASES = [
    case(
        "the controller is ready: in place, with a deadline",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.WAITING_FOR_POD_INTERFACE,
        "waiting for the dynamic networks controller on node node01 to attach network default/blue-net to "
        "pod virt-launcher-a",
        again_after=10,
    ),
    case(
        "an unplug, the controller is ready",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.WAITING_FOR_POD_RELEASE,
        "waiting for the dynamic networks controller on node node01 to detach network default/blue-net from "
        "pod virt-launcher-a",
        again_after=10,
        operation=UNPLUG,
    ),
    case(
        "nobody knows whether there is a controller: the benefit of the doubt, with a deadline",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.WAITING_FOR_POD_INTERFACE,
        "whether it runs there is not known, as DaemonSets or pods cannot be read",
        again_after=10,
        controller=UNKNOWN,
    ),
    case(
        "the deadline is the policy's",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.WAITING_FOR_POD_INTERFACE,
        "waiting for the dynamic networks controller on node node01 to attach network default/blue-net to "
        "pod virt-launcher-a",
        again_after=60,
        after=59,
        policy=HotplugPolicy(dynamic_timeout=timedelta(minutes=1)),
    ),
    case(
        "one failure: asked again before anything is concluded",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "the dynamic networks controller on node node01 failed once to attach network default/blue-net to pod "
        "virt-launcher-a: no such device; retrying",
        again_after=10,
        failed_attempts=1,
        error=ERROR,
    ),
    case(
        "an unplug that failed once",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.DETACH_FAILED,
        "failed once to detach network default/blue-net from pod virt-launcher-a: no such device",
        again_after=10,
        failed_attempts=1,
        error=ERROR,
        operation=UNPLUG,
    ),
    case(
        "the link is set in place, whatever else holds",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.WAITING_FOR_LINK,
        "waiting for the node agent on node node01 to set the link",
        after=100,
        controller=NOT_DEPLOYED,
        policy=NEVER,
        operation=OperationType.SET_LINK,
        asks_pod=False,
    ),
    case(
        "the controller stopped being ready a moment ago: it may be restarting",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "is not ready: CrashLoopBackOff; it may be restarting: waiting for it",
        again_after=4,
        controller=not_ready(since=at(-1)),
    ),
    case(
        "its pod was deleted a moment ago, and will be recreated",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "does not run on node node01; it may be restarting",
        again_after=5.5,
        controller=gone(since=at(0.5)),
    ),
    case(
        "a controller that comes and goes does not move the NIC's own deadline",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "may be restarting",
        again_after=10,
        after=9,
        controller=not_ready(since=at(8.9)),
    ),
    case(
        "a controller that is not ready has all the time when the policy is to hold",
        Verdict.DYNAMIC,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "is not ready: CrashLoopBackOff; waiting for it",
        again_after=10,
        controller=not_ready(since=at(-60)),
        policy=HOLD,
    ),
]

MIGRATE_CASES = [
    case(
        "SR-IOV",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.BINDING_NEEDS_MIGRATION,
        "an SR-IOV device is given to a pod only when the pod is made: migrating the VM",
        is_sriov=True,
        asks_pod=False,
    ),
    case(
        "SR-IOV under dynamicPath Always: nothing else ever works",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.BINDING_NEEDS_MIGRATION,
        "an SR-IOV device",
        is_sriov=True,
        policy=ALWAYS,
        asks_pod=False,
    ),
    case(
        "another network",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.NETWORK_CHANGE_NEEDS_MIGRATION,
        "a NIC that the guest has gets to network default/blue-net only in a new pod: migrating the VM",
        operation=OperationType.CHANGE_NETWORK,
        asks_pod=False,
    ),
    case(
        "dynamicPath Never",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_PATH_NEVER,
        "dynamicPath is Never (KubeVirt CR kubevirt/kubevirt), so the pod is not asked: migrating the VM",
        policy=NEVER,
        asks_pod=False,
    ),
    case(
        "no controller in the cluster: at once",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.NO_DYNAMIC_CONTROLLER,
        "no trusted namespace has a dynamic networks controller: migrating the VM",
        after=0,
        controller=NOT_DEPLOYED,
    ),
    case(
        "no controller on the node: at once",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.NO_DYNAMIC_CONTROLLER,
        "the dynamic networks controller (DaemonSet kube-system/dynamic-networks-controller-ds) does not run on node "
        "node01: migrating the VM",
        after=0,
        controller=NOT_ON_NODE,
    ),
    case(
        "the policy to hold is about failures, and nobody has failed",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.NO_DYNAMIC_CONTROLLER,
        "does not run on node node01: migrating the VM",
        controller=NOT_ON_NODE,
        policy=HOLD,
    ),
    case(
        "an unplug where no controller runs",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.NO_DYNAMIC_CONTROLLER,
        "does not run on node node01: migrating the VM",
        controller=NOT_ON_NODE,
        operation=UNPLUG,
    ),
    case(
        "the controller has not been ready for long: at once",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "on node node01 is not ready: CrashLoopBackOff: migrating the VM",
        after=0,
        controller=not_ready(since=at(-60)),
    ),
    case(
        "nobody knows since when it has not been ready: at once",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "is not ready",
        after=0,
        controller=not_ready(),
    ),
    case(
        "the controller did not come back",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "is not ready",
        after=5,
        controller=not_ready(since=at(0)),
    ),
    case(
        "its pod was not recreated",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.NO_DYNAMIC_CONTROLLER,
        "does not run on node node01",
        after=5,
        controller=gone(since=at(0)),
    ),
    case(
        "two failures shorten the deadline",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.ATTACH_FAILED,
        "the dynamic networks controller on node node01 failed 2 times to attach network default/blue-net to pod "
        "virt-launcher-a: no such device: migrating the VM",
        after=2.1,
        failed_attempts=2,
        attempts=2,
        error=ERROR,
    ),
    case(
        "two failures, and now it restarts: it would fail again",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.ATTACH_FAILED,
        "failed 2 times",
        failed_attempts=2,
        controller=not_ready(since=at(0)),
    ),
    case(
        "an unplug that failed twice",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DETACH_FAILED,
        "failed 2 times to detach network default/blue-net from pod virt-launcher-a",
        failed_attempts=2,
        operation=UNPLUG,
    ),
    case(
        "silence until the deadline",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_TIMEOUT,
        "the dynamic networks controller on node node01 did not attach network default/blue-net to pod virt-launcher-a "
        "within 10 s: migrating the VM",
        after=10,
    ),
    case(
        "silence until the deadline of an unplug",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_TIMEOUT,
        "did not detach network default/blue-net from pod virt-launcher-a within 10 s",
        after=10,
        operation=UNPLUG,
    ),
    case(
        "the deadline, with the one failure that there was",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_TIMEOUT,
        "within 10 s: no such device: migrating the VM",
        after=10,
        failed_attempts=1,
        error=ERROR,
    ),
    case(
        "the deadline of a controller that nobody can see",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.DYNAMIC_TIMEOUT,
        "the dynamic networks controller on node node01, if there is one, did not attach",
        after=10,
        controller=UNKNOWN,
    ),
    case(
        "nodes cannot be read: the scheduler is asked",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.NO_DYNAMIC_CONTROLLER,
        "migrating the VM",
        controller=NOT_DEPLOYED,
        candidates=Candidates(),
    ),
    case(
        "a migration failed, and the next may go better",
        Verdict.MIGRATE,
        OperationPath.MIGRATION,
        Reason.MIGRATION_FAILED,
        "no trusted namespace has a dynamic networks controller; migrating failed 2 times: target pod was evicted; "
        "it is retried with back-off",
        controller=NOT_DEPLOYED,
        failed_migrations=2,
        migration_error="target pod was evicted",
    ),
]

FAILURE_POLICY_CASES = [
    case(
        "Hold after two failures",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "no such device; onFailure is Hold (KubeVirt CR kubevirt/kubevirt), so it is retried with back-off",
        failed_attempts=2,
        error=ERROR,
        policy=HOLD,
    ),
    case(
        "Hold an unplug after two failures",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DETACH_FAILED,
        "onFailure is Hold",
        failed_attempts=2,
        policy=HOLD,
        operation=UNPLUG,
    ),
    case(
        "Hold after the deadline",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_TIMEOUT,
        "within 10 s; onFailure is Hold (KubeVirt CR kubevirt/kubevirt), so it is retried with back-off",
        after=10,
        policy=HOLD,
    ),
    case(
        "Hold when the controller has not come back until the deadline",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_TIMEOUT,
        "is not ready: CrashLoopBackOff, and has not come back within 10 s; onFailure is Hold",
        after=10,
        controller=not_ready(since=at(-60)),
        policy=HOLD,
    ),
    case(
        "Always holds, whatever onFailure says",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "(annotation nicplug.io/dynamic-path of VirtualMachine default/a), so it is retried with back-off",
        failed_attempts=2,
        policy=ALWAYS,
    ),
    case(
        "Always after the deadline",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_TIMEOUT,
        "dynamicPath is Always",
        after=10,
        policy=ALWAYS,
    ),
    case(
        "Always without a controller",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.NO_DYNAMIC_CONTROLLER,
        "and dynamicPath is Always (annotation nicplug.io/dynamic-path of VirtualMachine default/a). Run the "
        "controller there, set dynamicPath to Auto, or restart the VM",
        controller=NOT_ON_NODE,
        policy=ALWAYS,
    ),
    case(
        "Rollback after two failures",
        Verdict.ROLL_BACK,
        OperationPath.NONE,
        Reason.ROLLED_BACK,
        "failed 2 times to attach network default/blue-net to pod virt-launcher-a: no such device; rolled back, "
        "as onFailure is Rollback (KubeVirt CR kubevirt/kubevirt). To try again, change its entry or onFailure",
        failed_attempts=2,
        error=ERROR,
        policy=ROLLBACK,
        asks_pod=False,
    ),
    case(
        "Rollback after the deadline",
        Verdict.ROLL_BACK,
        OperationPath.NONE,
        Reason.ROLLED_BACK,
        "within 10 s; rolled back",
        after=10,
        policy=ROLLBACK,
        asks_pod=False,
    ),
    case(
        "what was rolled back stays so, whatever runs on the node now",
        Verdict.ROLL_BACK,
        OperationPath.NONE,
        Reason.ROLLED_BACK,
        "rolled back, as onFailure is Rollback",
        rolled_back="no such device; rolled back, as onFailure is Rollback (KubeVirt CR kubevirt/kubevirt)",
        policy=ROLLBACK,
        asks_pod=False,
    ),
    case(
        "an unplug has nothing to go back to",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DETACH_FAILED,
        "onFailure is Rollback (KubeVirt CR kubevirt/kubevirt), so it is retried with back-off",
        failed_attempts=2,
        policy=ROLLBACK,
        operation=UNPLUG,
    ),
    case(
        "Rollback when migrations have failed for good",
        Verdict.ROLL_BACK,
        OperationPath.NONE,
        Reason.ROLLED_BACK,
        "an SR-IOV device is given to a pod only when the pod is made, and the VM is not migrated: migrating failed 5 "
        "times: target pod was evicted; rolled back, as onFailure is Rollback",
        is_sriov=True,
        failed_migrations=MAX_MIGRATIONS,
        migration_given_up=True,
        migration_error="target pod was evicted",
        policy=ROLLBACK,
        asks_pod=False,
    ),
    case(
        "what is only forbidden has not failed, so nothing is rolled back",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FORBIDDEN,
        "migration is Never",
        is_sriov=True,
        policy=NO_MIGRATION_AND_ROLLBACK,
        asks_pod=False,
    ),
]

SLOT_CASES = [
    case(
        "no PCI slot: no pod, and no migration, brings one",
        Verdict.RESTART,
        OperationPath.RESTART,
        Reason.NO_PCI_SLOT,
        "the guest has at most 8 PCI slots for NICs, 8 taken, and only a restart brings more. Unplug a NIC, or restart "
        "the VM",
        no_slot=NO_SLOT,
        asks_pod=False,
    ),
    case(
        "no PCI slot for an SR-IOV device either",
        Verdict.RESTART,
        OperationPath.RESTART,
        Reason.NO_PCI_SLOT,
        "8 taken",
        no_slot=NO_SLOT,
        is_sriov=True,
        asks_pod=False,
    ),
    case(
        "no PCI slot, whatever the policy",
        Verdict.RESTART,
        OperationPath.RESTART,
        Reason.NO_PCI_SLOT,
        "8 taken",
        no_slot=NO_SLOT,
        policy=ALWAYS,
        controller=NOT_DEPLOYED,
        asks_pod=False,
    ),
]

OBSTACLE_CASES = [
    case(
        "policy migration Never, no controller",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FORBIDDEN,
        "no trusted namespace has a dynamic networks controller, and the VM is not migrated: migration is Never "
        "(spec.configuration.network.hotplug.migration of KubeVirt CR kubevirt/kubevirt). Set migration to Allowed, "
        "run a dynamic networks controller on node node01, or restart the VM",
        controller=NOT_DEPLOYED,
        policy=NO_MIGRATION,
    ),
    case(
        "policy migration Never, SR-IOV",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FORBIDDEN,
        "Set migration to Allowed, or restart the VM",
        is_sriov=True,
        policy=NO_MIGRATION,
        asks_pod=False,
    ),
    case(
        "policy migration Never, unplug without a controller",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FORBIDDEN,
        "Set migration to Allowed; or leave it: what the pod still has ends with the pod",
        controller=NOT_DEPLOYED,
        policy=NO_MIGRATION,
        operation=UNPLUG,
    ),
    case(
        "policy migration Never, and the controller fails: it goes on being asked",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "no such device; it is retried with back-off. The VM is not migrated: migration is Never",
        failed_attempts=2,
        error=ERROR,
        policy=NO_MIGRATION,
    ),
    case(
        "policy migration Never, and the network fails: the VM would not start with it",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "Set migration to Allowed, or correct what lastError says; until then a restarted VM may not start",
        failed_attempts=2,
        error=ERROR,
        policy=NO_MIGRATION,
    ),
    case(
        "policy migration Never, and the network had failed before the controller went",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FORBIDDEN,
        "run a dynamic networks controller on node node01, or correct what lastError says; until then a restarted VM",
        failed_attempts=1,
        error=ERROR,
        controller=NOT_DEPLOYED,
        policy=NO_MIGRATION,
    ),
    case(
        "policy migration Never, and no node has the device: the VM would not start with it",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FORBIDDEN,
        "Set migration to Allowed; do not restart the VM: it would not start, as no node offers example.com/fast",
        is_sriov=True,
        candidates=NO_DEVICE,
        policy=NO_MIGRATION,
        asks_pod=False,
    ),
    case(
        "policy migration Never, and the controller is silent",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_TIMEOUT,
        "within 10 s; it is retried with back-off. The VM is not migrated: migration is Never",
        after=10,
        policy=NO_MIGRATION,
    ),
    case(
        "policy migration Never, and the controller is not ready",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        "CrashLoopBackOff; it is retried with back-off",
        controller=not_ready(),
        policy=NO_MIGRATION,
    ),
    case(
        "workloadUpdateMethods without LiveMigrate",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.WORKLOAD_UPDATE_FORBIDS,
        "spec.workloadUpdateStrategy.workloadUpdateMethods of the KubeVirt CR does not list LiveMigrate. Add "
        "LiveMigrate, run a dynamic networks controller on node node01, or restart the VM",
        controller=NOT_DEPLOYED,
        workload_update_allows=False,
    ),
    case(
        "the VM cannot be migrated",
        Verdict.RESTART,
        OperationPath.RESTART,
        Reason.NOT_LIVE_MIGRATABLE,
        "it cannot be (DisksNotLiveMigratable: cannot migrate VMI with non-shared PVCs). Correct what the condition",
        controller=NOT_DEPLOYED,
        not_migratable="DisksNotLiveMigratable: cannot migrate VMI with non-shared PVCs",
    ),
    case(
        "the VM cannot be migrated, and the controller fails",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_TIMEOUT,
        "The VM is not migrated: it cannot be (DisksNotLiveMigratable)",
        after=10,
        not_migratable="DisksNotLiveMigratable",
    ),
    case(
        "another network for a VM that cannot be migrated",
        Verdict.RESTART,
        OperationPath.RESTART,
        Reason.NETWORK_CHANGE_NEEDS_RESTART,
        "it cannot be (DisksNotLiveMigratable). Unplug the NIC and plug it again, or restart the VM",
        operation=OperationType.CHANGE_NETWORK,
        not_migratable="DisksNotLiveMigratable",
        asks_pod=False,
    ),
    case(
        "no node can take the VM",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.NO_CANDIDATE_NODE,
        "and the VM is not migrated: 0 of 1 nodes can take the VM: node01 runs it. Let another node fit it, or "
        "change its nodeSelector, affinity or tolerations, run a dynamic networks controller on node node01, "
        "or restart the VM",
        controller=NOT_DEPLOYED,
        candidates=NO_NODE,
    ),
    case(
        "no node can take the VM, not even its own",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.NO_CANDIDATE_NODE,
        "affinity or tolerations, run a dynamic networks controller on node node01; do not restart the VM: it would "
        "not start, as no node can take it, not even the one that runs it",
        controller=NOT_DEPLOYED,
        candidates=replace(NO_NODE, source_fits=False),
    ),
    case(
        "no node offers the device",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.NO_CANDIDATE_NODE,
        "affinity or tolerations; do not restart the VM: it would not start, as no node offers example.com/fast",
        is_sriov=True,
        candidates=NO_DEVICE,
        asks_pod=False,
    ),
    case(
        "the VM cannot be migrated, and its network fails",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "Correct what the condition LiveMigratable says, or correct what lastError says; until then a restarted VM",
        failed_attempts=2,
        error=ERROR,
        not_migratable="DisksNotLiveMigratable",
    ),
    case(
        "LiveMigrate is not listed, and the network fails",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "Add LiveMigrate, or correct what lastError says",
        failed_attempts=2,
        error=ERROR,
        workload_update_allows=False,
    ),
    case(
        "no node can take the VM, and the controller is silent",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.DYNAMIC_TIMEOUT,
        "The VM is not migrated: 0 of 1 nodes can take the VM: node01 runs it",
        after=10,
        candidates=NO_NODE,
    ),
    case(
        "five migrations have failed",
        Verdict.FAILED,
        OperationPath.MIGRATION,
        Reason.MIGRATION_FAILED,
        "no trusted namespace has a dynamic networks controller, and the VM is not migrated: migrating failed 5 times: "
        "target pod was evicted. It is tried again when the NIC, or what failed, changes",
        controller=NOT_DEPLOYED,
        failed_migrations=MAX_MIGRATIONS,
        migration_given_up=True,
        migration_error="target pod was evicted",
    ),
    case(
        "one migration has failed in a way that time does not mend",
        Verdict.FAILED,
        OperationPath.MIGRATION,
        Reason.MIGRATION_FAILED,
        "migrating failed once: target pod was evicted",
        controller=NOT_DEPLOYED,
        failed_migrations=1,
        migration_error="target pod was evicted",
        migration_given_up=True,
    ),
    case(
        "migrations have failed for good, but there is a controller",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "it is retried with back-off. The VM is not migrated: migrating failed 5 times",
        failed_attempts=2,
        failed_migrations=MAX_MIGRATIONS,
        migration_given_up=True,
    ),
    case(
        "the last migration failed of another NIC",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FAILED,
        "no trusted namespace has a dynamic networks controller, and the VM is not migrated: the last migration failed "
        'not of this NIC, but of NIC "green" on network default/green-net, which comes with every target pod: no such '
        "bridge. It is tried again when that NIC or its network changes. Correct that NIC or its network",
        next_after=900,
        again_after=900,
        controller=NOT_DEPLOYED,
        blocking_network=BLOCKING_NETWORK,
        blocked_until=at(900),
    ),
    case(
        "five migrations failed of another NIC, and it is not rolled back for that",
        Verdict.BLOCKED,
        OperationPath.NONE,
        Reason.MIGRATION_FAILED,
        "changes. Correct that NIC or its network; if you have repaired a node, migrate the VM yourself",
        controller=NOT_DEPLOYED,
        blocking_network=BLOCKING_NETWORK,
        policy=ROLLBACK,
    ),
    case(
        "the last migration failed of another NIC, and there is a controller",
        Verdict.HOLD,
        OperationPath.DYNAMIC,
        Reason.ATTACH_FAILED,
        "it is retried with back-off. The VM is not migrated: the last migration failed not of this NIC",
        again_after=900,
        failed_attempts=2,
        blocking_network=BLOCKING_NETWORK,
        blocked_until=at(900),
    ),
    case(
        "a failure that nothing was said about needs no number of nodes",
        Verdict.FAILED,
        OperationPath.MIGRATION,
        Reason.MIGRATION_FAILED,
        "migrating failed once. It is tried again",
        controller=NOT_DEPLOYED,
        failed_migrations=1,
        migration_given_up=True,
        candidates=NO_NODE,
    ),
]

CASES = [*IN_PLACE_CASES, *MIGRATE_CASES, *FAILURE_POLICY_CASES, *SLOT_CASES, *OBSTACLE_CASES]
