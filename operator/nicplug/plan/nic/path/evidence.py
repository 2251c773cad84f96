"""The evidence for the path of one NIC; `plan.nic.path.choice` evaluates it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from nicplug.model.dynamic_controller import DynamicController
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.operations import OperationType
from nicplug.plan.candidates import Candidates

FAILED_ATTEMPTS = 2
"""This many failures reported by the controller end the dynamic path before its deadline."""
BURST = timedelta(seconds=1)
"""How long after a reported failure the controller may still try by itself: four times, 5 to 20 ms apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEvidence:
    """All facts on which the path of one NIC depends.

    Attributes:
        operation: the requested operation.
        is_sriov: its device can be allocated only to a new pod.
        controller: the dynamic networks controller on the VM's node.
        failed_attempts: number of failed requests to the pod, as reported by the controller.
        attempts: number of requests to the pod.
        error: the controller's last report; "" if there is none.
        waiting_since: when it was first requested from the pod, or when the change was first observed.
        is_asked: the pod is asked for it, or nicplug asks; beside KubeVirt False until virt-controller has asked.
        asks_again: nicplug asks the pod again after a failure; beside KubeVirt nobody does.
        failed_at: when the controller last reported a failure; None if it reported none.
        not_migratable: why the VM cannot be migrated (condition LiveMigratable); "" if it can.
        candidates: the nodes it could move to; unknown while no migration is needed.
        workload_update_allows: `workloadUpdateMethods` of the KubeVirt CR is not set, or lists LiveMigrate.
        failed_migrations: number of failed migrations for this change.
        migration_error: why the last one failed; "" if none did.
        migration_given_up: there were too many failures, or one that a retry does not fix.
        is_retried_alone: it may have caused the last failure, so it gets a migration of its own.
        blocking_network: the NIC whose network keeps every target pod from starting, and why; "" if there is none.
        blocked_until: when a migration is created nevertheless; None if only a change of that NIC helps.
        rolled_back: the recorded message, if it was rolled back and not changed since by its owner; "" otherwise.
        now: current time, for the deadline.
        no_slot: why the guest has no PCI slot left for it; "" if it has, or may have one.
        node: the node on which the VM runs, for a sentence.
        pod: the pod that runs it, for a sentence.
        network: the requested network, for a sentence.

    For an unplug it is gathered once the guest has released the NIC: before that, no path is needed.
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
    is_asked: bool = True
    asks_again: bool = True
    failed_at: datetime | None = None
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
        """When the dynamic path times out."""
        return self.waiting_since + self.policy.dynamic_timeout

    @property
    def gives_up_at(self) -> datetime | None:
        """When the controller that has reported a failure counts as having given up; None if it is asked again.

        Not later than the deadline: a nudge makes it fail once more.
        """
        return None if self.asks_again or self.failed_at is None else min(self.failed_at + BURST, self.deadline)

    @property
    def has_failed(self) -> bool:
        """True if the controller has reported enough failures to end the path."""
        has_given_up = self.gives_up_at is not None and self.now >= self.gives_up_at
        return has_given_up or self.failed_attempts >= FAILED_ATTEMPTS
