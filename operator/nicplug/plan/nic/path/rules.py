"""The tables by which the path of a NIC is chosen: in place or by migration, and whether a migration is possible.

Pure data and predicates; `plan.nic.path.choice` reads the tables from the top and takes the first rule that
applies. All rows are written out, none is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from nicplug.model.dynamic_controller import ControllerState
from nicplug.model.hotplug_policy import DynamicPath, MigrationPolicy, OnFailure
from nicplug.model.operations import OperationType
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.reasons import Reason

CONTROLLER_GRACE = timedelta(seconds=5)
"""By then a restarting pod of the controller is back, and processes the annotations that it finds at its start."""


class Verdict(StrEnum):
    """The action for the NIC."""

    DYNAMIC = "Dynamic"
    """In place: requested from the pod, before the deadline."""
    MIGRATE = "Migrate"
    """A migration is needed; `plan.vmi.migration_request` decides when."""
    HOLD = "Hold"
    """The dynamic path has failed, and is retried with back-off: no other path is possible or allowed."""
    ROLL_BACK = "RollBack"
    """The request is rolled back to the last working state."""
    FAILED = "Failed"
    """Not retried until something changes."""
    BLOCKED = "Blocked"
    """Blocked by a decision of a user or admin, or by something that they have to provide."""
    RESTART = "Restart"
    """Possible only by a restart of the VM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of a table.

    Attributes:
        when: the evidence to which it applies, as a phrase of the documentation.
        says: the message about one NIC, with the names of phrases (`messages.render`).
        remedy: what a user or admin can do, with phrases too; "" if nothing is to be done.
        reason_of_unplug: the reason for an unplug, if it differs.
        next_attempt: when it is retried automatically.
        again_at: when another rule applies without any other event.
    """

    when: str
    applies: Callable[[PathEvidence], bool]
    verdict: Verdict
    reason: Reason
    says: str
    remedy: str = ""
    reason_of_unplug: Reason | None = None
    next_attempt: Callable[[PathEvidence], datetime | None] = lambda _: None
    again_at: Callable[[PathEvidence], datetime | None] = lambda _: None

    def __call__(self, evidence: PathEvidence) -> "Rule | None":
        """Return the rule itself if it applies: a check (`plan.checks`)."""
        return self if self.applies(evidence) else None

    def reason_for(self, evidence: PathEvidence) -> Reason:
        """The reason for this operation."""
        is_unplug = evidence.operation is OperationType.UNPLUG
        return self.reason_of_unplug if is_unplug and self.reason_of_unplug is not None else self.reason


def is_pod_left_alone(evidence: PathEvidence) -> bool:
    """True if nothing is requested from the running pod: it is not concerned, or the NIC is impossible or forbidden."""
    return (
        evidence.is_sriov
        or bool(evidence.no_slot)
        or evidence.operation in (OperationType.CHANGE_NETWORK, OperationType.SET_LINK)
        or evidence.policy.dynamic_path is DynamicPath.NEVER
    )


def grace_ends_at(evidence: PathEvidence) -> datetime | None:
    """When the grace period of a missing or unready controller ends; None if there is none.

    Never later than the NIC's own deadline, however often the controller restarts.
    """
    since = evidence.controller.since
    return None if since is None else min(since + CONTROLLER_GRACE, evidence.deadline)


def _is_network_change(evidence: PathEvidence) -> bool:
    return evidence.operation is OperationType.CHANGE_NETWORK


def _is_always(evidence: PathEvidence) -> bool:
    return evidence.policy.dynamic_path is DynamicPath.ALWAYS


def _is_coming_back(evidence: PathEvidence) -> bool:
    ends_at = grace_ends_at(evidence)
    is_gone = evidence.controller.is_absent or evidence.controller.state is ControllerState.NOT_READY
    return is_gone and not evidence.has_failed and ends_at is not None and evidence.now < ends_at


def _is_not_ready(evidence: PathEvidence) -> bool:
    return evidence.controller.state is ControllerState.NOT_READY


def _is_late(evidence: PathEvidence) -> bool:
    return evidence.now >= evidence.deadline


def _is_rolled_back(evidence: PathEvidence) -> bool:
    """True if it is rolled back; never an unplug, as the guest has already released the NIC."""
    return evidence.policy.on_failure is OnFailure.ROLLBACK and evidence.operation is not OperationType.UNPLUG


def _is_held(evidence: PathEvidence) -> bool:
    return evidence.policy.on_failure is not OnFailure.MIGRATE or _is_always(evidence)


_FAILED = "two attempts that the controller reported failed"
IN_PLACE: tuple[Rule, ...] = (
    Rule(
        when="only the link is to be set up or down",
        applies=lambda evidence: evidence.operation is OperationType.SET_LINK,
        verdict=Verdict.DYNAMIC,
        reason=Reason.WAITING_FOR_LINK,
        says="waiting for the node agent on {where} to set the link",
    ),
    Rule(
        when="it was rolled back before, `onFailure` is still `Rollback`, and its owner has not changed the NIC since",
        applies=lambda evidence: bool(evidence.rolled_back),
        verdict=Verdict.ROLL_BACK,
        reason=Reason.ROLLED_BACK,
        says="{rolled_back}",
        remedy="To try again, change its entry or onFailure",
    ),
    Rule(
        when="the guest has no PCI slot left",
        applies=lambda evidence: bool(evidence.no_slot),
        verdict=Verdict.RESTART,
        reason=Reason.NO_PCI_SLOT,
        says="{no_slot}, and only a restart brings more",
        remedy="Unplug a NIC, or restart the VM",
    ),
    Rule(
        when="SR-IOV",
        applies=lambda evidence: evidence.is_sriov,
        verdict=Verdict.MIGRATE,
        reason=Reason.BINDING_NEEDS_MIGRATION,
        says="an SR-IOV device is given to a pod only when the pod is made",
    ),
    Rule(
        when="another network for a NIC that the guest has",
        applies=_is_network_change,
        verdict=Verdict.MIGRATE,
        reason=Reason.NETWORK_CHANGE_NEEDS_MIGRATION,
        says="a NIC that the guest has gets to {other_network} only in a new pod",
    ),
    Rule(
        when="`dynamicPath: Never`",
        applies=lambda evidence: evidence.policy.dynamic_path is DynamicPath.NEVER,
        verdict=Verdict.MIGRATE,
        reason=Reason.DYNAMIC_PATH_NEVER,
        says="{dynamic_path}, so the pod is not asked",
    ),
    Rule(
        when="the controller stopped being ready, or left a node that its DaemonSet selects, less than 5 s ago",
        applies=_is_coming_back,
        verdict=Verdict.DYNAMIC,
        reason=Reason.DYNAMIC_CONTROLLER_NOT_READY,
        says="{absence}; it may be restarting: waiting for it",
        again_at=grace_ends_at,
    ),
    Rule(
        when="no controller in the cluster or on the VM's node, `dynamicPath: Always`",
        applies=lambda evidence: evidence.controller.is_absent and _is_always(evidence),
        verdict=Verdict.BLOCKED,
        reason=Reason.NO_DYNAMIC_CONTROLLER,
        says="{absence}, and {dynamic_path}",
        remedy="Run the controller there, set dynamicPath to Auto{or_restart}",
    ),
    Rule(
        when="no controller in the cluster or on the VM's node",
        applies=lambda evidence: evidence.controller.is_absent,
        verdict=Verdict.MIGRATE,
        reason=Reason.NO_DYNAMIC_CONTROLLER,
        says="{absence}",
    ),
    Rule(
        when=f"{_FAILED}, or `dynamicTimeout` is over; `onFailure: Rollback`, and it is not an unplug",
        applies=lambda evidence: (evidence.has_failed or _is_late(evidence)) and _is_rolled_back(evidence),
        verdict=Verdict.ROLL_BACK,
        reason=Reason.ROLLED_BACK,
        says="{failed_or_late}; rolled back, as {on_failure}",
        remedy="To try again, change its entry or onFailure",
    ),
    Rule(
        when=f"{_FAILED}, `onFailure` not `Migrate` or `dynamicPath: Always`",
        applies=lambda evidence: evidence.has_failed and _is_held(evidence),
        verdict=Verdict.HOLD,
        reason=Reason.ATTACH_FAILED,
        reason_of_unplug=Reason.DETACH_FAILED,
        says="{failed}; {held_by}, so {pod_retry}",
        remedy="{correct_it}, or let the policy migrate the VM",
    ),
    Rule(
        when=_FAILED,
        applies=lambda evidence: evidence.has_failed,
        verdict=Verdict.MIGRATE,
        reason=Reason.ATTACH_FAILED,
        reason_of_unplug=Reason.DETACH_FAILED,
        says="{failed}",
    ),
    Rule(
        when="the controller is not ready, and nothing forbids to migrate on failure",
        applies=lambda evidence: _is_not_ready(evidence) and not _is_held(evidence),
        verdict=Verdict.MIGRATE,
        reason=Reason.DYNAMIC_CONTROLLER_NOT_READY,
        says="{absence}",
    ),
    Rule(
        when="`dynamicTimeout` is over, `onFailure` not `Migrate` or `dynamicPath: Always`",
        applies=lambda evidence: _is_late(evidence) and _is_held(evidence),
        verdict=Verdict.HOLD,
        reason=Reason.DYNAMIC_TIMEOUT,
        says="{late}; {held_by}, so {pod_retry}",
        remedy="{correct_it}, or let the policy migrate the VM",
    ),
    Rule(
        when="`dynamicTimeout` is over",
        applies=_is_late,
        verdict=Verdict.MIGRATE,
        reason=Reason.DYNAMIC_TIMEOUT,
        says="{late}",
    ),
    Rule(
        when="the controller is not ready, and has time until `dynamicTimeout` is over",
        applies=_is_not_ready,
        verdict=Verdict.DYNAMIC,
        reason=Reason.DYNAMIC_CONTROLLER_NOT_READY,
        says="{absence}; waiting for it",
        again_at=lambda evidence: evidence.deadline,
    ),
    Rule(
        when="the controller reported one failure",
        applies=lambda evidence: evidence.failed_attempts > 0,
        verdict=Verdict.DYNAMIC,
        reason=Reason.ATTACH_FAILED,
        reason_of_unplug=Reason.DETACH_FAILED,
        says="{failed}; retrying",
        again_at=lambda evidence: evidence.gives_up_at or evidence.deadline,
    ),
    Rule(
        when="nobody knows whether a controller runs: rights or kinds are missing",
        applies=lambda evidence: evidence.controller.state is ControllerState.UNKNOWN,
        verdict=Verdict.DYNAMIC,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        reason_of_unplug=Reason.WAITING_FOR_POD_RELEASE,
        says="{waiting}; whether it runs there is not known, as DaemonSets or pods cannot be read",
        again_at=lambda evidence: evidence.deadline,
    ),
    Rule(
        when="the controller is ready on the VM's node",
        applies=lambda _: True,
        verdict=Verdict.DYNAMIC,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        reason_of_unplug=Reason.WAITING_FOR_POD_RELEASE,
        says="{waiting}",
        again_at=lambda evidence: evidence.deadline,
    ),
)
"""In place or by migration; the last rule always applies."""


OBSTACLES: tuple[Rule, ...] = (
    Rule(
        when="`migration: Never`",
        applies=lambda evidence: evidence.policy.migration is MigrationPolicy.NEVER,
        verdict=Verdict.BLOCKED,
        reason=Reason.MIGRATION_FORBIDDEN,
        says="{migration}",
        remedy="{allow_migration}{or_else}",
    ),
    Rule(
        when="`workloadUpdateMethods` is set and does not list `LiveMigrate`",
        applies=lambda evidence: not evidence.workload_update_allows,
        verdict=Verdict.BLOCKED,
        reason=Reason.WORKLOAD_UPDATE_FORBIDS,
        says="spec.workloadUpdateStrategy.workloadUpdateMethods of the KubeVirt CR does not list LiveMigrate",
        remedy="Add LiveMigrate{or_else}",
    ),
    Rule(
        when="another network, and the condition `LiveMigratable` is not True",
        applies=lambda evidence: bool(evidence.not_migratable) and _is_network_change(evidence),
        verdict=Verdict.RESTART,
        reason=Reason.NETWORK_CHANGE_NEEDS_RESTART,
        says="it cannot be ({not_migratable})",
        remedy="Unplug the NIC and plug it again{or_restart}",
    ),
    Rule(
        when="the condition `LiveMigratable` is not True",
        applies=lambda evidence: bool(evidence.not_migratable),
        verdict=Verdict.RESTART,
        reason=Reason.NOT_LIVE_MIGRATABLE,
        says="it cannot be ({not_migratable})",
        remedy="Correct what the condition LiveMigratable says{or_else}",
    ),
    Rule(
        when="five migrations have failed, or the last one for a reason that a retry does not fix; "
        "`onFailure: Rollback`, and it is not an unplug",
        applies=lambda evidence: evidence.migration_given_up and _is_rolled_back(evidence),
        verdict=Verdict.ROLL_BACK,
        reason=Reason.ROLLED_BACK,
        says="{failures}; rolled back, as {on_failure}",
        remedy="To try again, change its entry or onFailure",
    ),
    Rule(
        when="five migrations have failed, or the last one for a reason that a retry does not fix",
        applies=lambda evidence: evidence.migration_given_up,
        verdict=Verdict.FAILED,
        reason=Reason.MIGRATION_FAILED,
        says="{failures}. It is tried again when the NIC, or what failed, changes",
        remedy="Correct what the last migration failed of, or change the NIC",
    ),
    Rule(
        when="the last migration failed of the network of another NIC that comes with every target pod, and that is "
        "as it was",
        applies=lambda evidence: bool(evidence.blocking_network),
        verdict=Verdict.BLOCKED,
        reason=Reason.MIGRATION_FAILED,
        says="{blocking_network}. It is tried again when that NIC or its network changes",
        remedy="Correct that NIC or its network; if you have repaired a node, migrate the VM yourself",
        next_attempt=lambda evidence: evidence.blocked_until,
        again_at=lambda evidence: evidence.blocked_until,
    ),
    Rule(
        when="no node can take the VM",
        applies=lambda evidence: evidence.candidates.is_impossible,
        verdict=Verdict.BLOCKED,
        reason=Reason.NO_CANDIDATE_NODE,
        says="{no_candidate}",
        remedy="Let another node fit it, or change its nodeSelector, affinity or tolerations{or_else}",
    ),
    Rule(
        when="fewer than five migrations have failed",
        applies=lambda evidence: evidence.failed_migrations > 0,
        verdict=Verdict.MIGRATE,
        reason=Reason.MIGRATION_FAILED,
        says="{failures}; {retry}",
    ),
)
"""Obstacles to a migration, and remarks about it; if none applies, the VM is migrated."""
