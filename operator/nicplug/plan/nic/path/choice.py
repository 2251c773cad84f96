"""Chooses the path by which a NIC is plugged or unplugged: in place, by migration, by a restart, or none now.

Pure: its only input is `PathEvidence`. The rules are the tables of `plan.nic.path.rules`.
"""

from dataclasses import dataclass
from datetime import datetime

from nicplug.model.operations import OperationPath
from nicplug.plan.checks import first_result
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.nic.path.messages import render
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES, Rule, Verdict, is_pod_left_alone
from nicplug.plan.reasons import Reason

_PATHS = {
    Verdict.DYNAMIC: OperationPath.DYNAMIC,
    Verdict.MIGRATE: OperationPath.MIGRATION,
    Verdict.HOLD: OperationPath.DYNAMIC,
    Verdict.ROLL_BACK: OperationPath.NONE,
    Verdict.FAILED: OperationPath.MIGRATION,
    Verdict.BLOCKED: OperationPath.NONE,
    Verdict.RESTART: OperationPath.RESTART,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChoice:
    """The chosen path.

    Attributes:
        message: the reason, with names and numbers; changes only when the evidence does.
        remedy: what a user or admin can do; "" if nothing is to be done.
        next_attempt: when a migration is retried after failed ones; None if only a change helps, or none has failed.
        again_at: when to choose again even if nothing has changed; None if only a change can alter the choice.
        asks_pod: the NIC is requested from the running pod even if the VM is migrated too: the faster one wins.
    """

    verdict: Verdict
    reason: Reason
    message: str
    remedy: str = ""
    next_attempt: datetime | None = None
    again_at: datetime | None = None
    asks_pod: bool = True

    @property
    def path(self) -> OperationPath:
        """The path as it is recorded for the NIC."""
        return _PATHS[self.verdict]


def choose_path(evidence: PathEvidence) -> PathChoice:
    """Choose how the NIC is plugged or unplugged.

    In place if possible, else by migration if that is possible; if neither is, requests to an existing controller are
    repeated.

    Source: KubeVirt 1.9 `Evaluator.Evaluate`, but per NIC, on evidence and with the reason.
    """
    rule, *obstacles = deciding_rules(evidence)
    cause = render(rule.says, evidence)
    if rule.verdict is not Verdict.MIGRATE:
        return _choice(rule, cause, evidence)
    if not obstacles:
        return _choice(rule, f"{cause}: migrating the VM", evidence)
    obstacle = obstacles[0]
    explanation = render(obstacle.says, evidence)
    if obstacle.verdict is Verdict.MIGRATE:
        return _choice(obstacle, f"{cause}; {explanation}", evidence)
    if obstacle.verdict is Verdict.ROLL_BACK or is_pod_left_alone(evidence) or evidence.controller.is_absent:
        return _choice(obstacle, f"{cause}, and the VM is not migrated: {explanation}", evidence)
    return PathChoice(  # the request to the pod is repeated, whatever a migration waits for
        verdict=Verdict.HOLD,
        reason=rule.reason_for(evidence),
        message=f"{cause}; {render('{pod_retry}', evidence)}. The VM is not migrated: {explanation}",
        remedy=render(obstacle.remedy, evidence),
        again_at=obstacle.again_at(evidence),
        asks_pod=True,
    )


def may_migrate(evidence: PathEvidence) -> bool:
    """True if it is not possible in place, so that the nodes that the VM could move to have to be determined."""
    return (rule := first_result(IN_PLACE, evidence)) is not None and rule.verdict is Verdict.MIGRATE


def deciding_rules(evidence: PathEvidence) -> tuple[Rule, ...]:
    """The rule of `IN_PLACE` that applies, and, if that is to migrate, the one of `OBSTACLES`, if any."""
    rule = first_result(IN_PLACE, evidence)
    if rule is None:
        raise AssertionError("the last rule always applies")
    obstacle = first_result(OBSTACLES, evidence) if rule.verdict is Verdict.MIGRATE else None
    return (rule,) if obstacle is None else (rule, obstacle)


def _choice(rule: Rule, message: str, evidence: PathEvidence) -> PathChoice:
    return PathChoice(
        verdict=rule.verdict,
        reason=rule.reason_for(evidence),
        message=message,
        remedy=render(rule.remedy, evidence),
        next_attempt=rule.next_attempt(evidence),
        again_at=rule.again_at(evidence),
        asks_pod=rule.verdict is not Verdict.ROLL_BACK and not is_pod_left_alone(evidence),
    )
