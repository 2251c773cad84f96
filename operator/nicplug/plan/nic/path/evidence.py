"""What the choice of a path looks at, for one NIC; gathered before, judged in `plan.nic.path.choice`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.operations import OperationType


class ControllerState(StrEnum):
    """What is known of the dynamic networks controller on the node of the VM."""

    UNKNOWN = "unknown"
    """Its DaemonSets or pods cannot be read, so the controller is given the benefit of the doubt."""
    NOT_DEPLOYED = "not deployed"
    """The cluster has none."""
    NOT_ON_NODE = "not on the node"
    NOT_READY = "not ready"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicController:
    """The dynamic networks controller, seen from one node.

    Attributes:
        daemon_set: `<namespace>/<name>` of the DaemonSet, for a sentence; "" when none is known.
        message: why it is not ready, for a sentence; "" when it is.
    """

    state: ControllerState = ControllerState.UNKNOWN
    daemon_set: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The nodes that a VM could move to.

    Attributes:
        is_known: nodes can be read; otherwise the scheduler is asked by a target pod.
        nodes: names of those that fit.
        total: how many nodes there are.
        message: why the others do not, with numbers: "1 of 3 nodes runs the VM, 2 are cordoned".
    """

    is_known: bool = False
    nodes: frozenset[str] = frozenset()
    total: int = 0
    message: str = ""

    @property
    def is_impossible(self) -> bool:
        """No node can take the VM."""
        return self.is_known and not self.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEvidence:
    """Everything that the path of one NIC depends on.

    Attributes:
        operation: what is asked for.
        is_sriov: its device is given to a pod only when the pod is made.
        controller: the dynamic networks controller on the VM's node.
        failed_attempts: how often the pod was asked in vain, as the controller itself said.
        attempts: how often the pod was asked.
        error: what the controller last said; "" when it has said nothing.
        waiting_since: when the pod was first asked for it, or when the change was first seen.
        not_migratable: why the VM cannot be migrated (condition LiveMigratable); "" when it can.
        candidates: the nodes it could move to.
        workload_update_allows: `workloadUpdateMethods` of the KubeVirt CR is not set, or lists LiveMigrate.
        failed_migrations: how often a migration for this change has failed.
        migration_error: why the last one did; "" when none did.
        is_worth_migrating_again: what failed may go better next time, or has been changed since.
        now: for the deadline.
    """

    policy: HotplugPolicy
    operation: OperationType
    is_sriov: bool
    controller: DynamicController
    failed_attempts: int
    attempts: int
    error: str
    waiting_since: datetime
    not_migratable: str
    candidates: Candidates
    workload_update_allows: bool
    failed_migrations: int
    migration_error: str
    is_worth_migrating_again: bool
    now: datetime

    @property
    def deadline(self) -> datetime:
        """When the dynamic path has had its time."""
        return self.waiting_since + self.policy.dynamic_timeout

    @property
    def waited(self) -> timedelta:
        """For how long it has been waited for."""
        return self.now - self.waiting_since
