"""The evidence for the path of one NIC; `plan.nic.path.choice` judges it."""

from dataclasses import dataclass
from datetime import datetime

from nicplug.model.dynamic_controller import DynamicController
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.operations import OperationType
from nicplug.plan.candidates import Candidates

FAILED_ATTEMPTS = 2
"""So many failures that the controller itself reported end the dynamic path before its time."""


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
        candidates: the nodes it could move to; unknown while nothing makes it move.
        workload_update_allows: `workloadUpdateMethods` of the KubeVirt CR is not set, or lists LiveMigrate.
        failed_migrations: how often a migration for this change has failed.
        migration_error: why the last one did; "" when none did.
        migration_given_up: after that many failures, or after one that a retry does not fix.
        is_retried_alone: nobody can tell whether the last failure was for this NIC: it is migrated by itself.
        blocking_network: whose network keeps every target pod from starting, and why; "" when none does.
        blocked_until: when a migration is made all the same; None when only a change of it helps.
        rolled_back: it was rolled back, and its owner has not changed it since: as its record says; "" otherwise.
        now: for the deadline.
        no_slot: why the guest has no PCI slot left for it; "" when it has, or may have.
        node: on which the VM runs, for a sentence.
        pod: that runs it, for a sentence.
        network: that the NIC is to be on, for a sentence.

    For an unplug it is gathered once the guest has let the NIC go: before that, no path is waited for.
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
    migration_given_up: bool
    now: datetime
    is_retried_alone: bool = False
    blocking_network: str = ""
    blocked_until: datetime | None = None
    no_slot: str = ""
    rolled_back: str = ""
    node: str = ""
    pod: str = ""
    network: str = ""

    @property
    def deadline(self) -> datetime:
        """When the dynamic path has had its time."""
        return self.waiting_since + self.policy.dynamic_timeout
