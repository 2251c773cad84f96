"""Forecasts the next steps for a NIC, and when they happen, by the operator's own rules on current evidence. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.insight.nic_rows import NicRow
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.model.operations import OperationPhase
from nicplug.plan.nic.path.choice import choose_path
from nicplug.plan.nic.path.evidence import FAILED_ATTEMPTS, PathEvidence
from nicplug.plan.nic.path.rules import Verdict
from nicplug.plan.reasons import Reason

_THEN = {
    Outcome.READY: "it is ready",
    Outcome.IN_PLACE: "it is retried in place",
    Outcome.BY_MIGRATION: "nicplug migrates the VM for it",
    Outcome.AT_START: "it comes when the VM starts",
    Outcome.NEEDS_RESTART: "it waits for a restart of the VM",
    Outcome.STUCK: "nothing more is tried until something changes",
    Outcome.WITHDRAWN: "it leaves the VM, and the guest is not touched",
}
_ONCE_FAILED = {
    Verdict.MIGRATE: "nicplug migrates the VM for it",
    Verdict.HOLD: "it is Failed, and retried with back-off",
    Verdict.ROLL_BACK: "it is rolled back",
    Verdict.BLOCKED: "nothing more is tried until something changes",
    Verdict.RESTART: "it waits for a restart of the VM",
    Verdict.FAILED: "nothing more is tried until something changes",
}
_SETTLED = (Outcome.NEEDS_RESTART, Outcome.STUCK, Outcome.AT_START, Outcome.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A future step.

    Attributes:
        at: None if unknown.
    """

    at: datetime | None
    what: str

    def to_json(self) -> dict[str, Any]:
        """The item of `-o json` and `-o yaml`."""
        return {"at": self.at.isoformat() if self.at is not None else None, "what": self.what}


def coming(
    nic: NicRow, forecast: NicForecast | None, next_reconcile_at: datetime | None, *, now: datetime
) -> Iterator[Next]:
    """Yield what happens next, in order, without contradictions.

    Args:
        forecast: what the operator would do next about the NIC.
        next_reconcile_at: when it reconciles the VM without a change, for this NIC or another one.
    """
    again_at = nic.next_attempt if nic.next_attempt is not None and nic.next_attempt > now else None
    if nic.phase == OperationPhase.MIGRATING:
        yield Next(at=again_at, what=_of_migration(nic, is_retried=again_at is not None))
        return
    if nic.reason == Reason.HOTPLUG_ERROR:
        # Nothing has been requested yet, so no timeout is running.
        yield Next(at=again_at, what="the refused write is retried with back-off, every 30 s at the latest")
        return
    if again_at is not None:
        yield Next(at=again_at, what="it is tried again")
    if forecast is None:
        return
    if forecast.outcome in _SETTLED:
        # The VM may be reconciled for another NIC, and this NIC retried: neither is a plan for this NIC.
        if again_at is None:
            yield Next(at=None, what=f"{_THEN[forecast.outcome]} ({forecast.reason})")
        return
    yield from _foreseen(forecast, next_reconcile_at if next_reconcile_at != again_at else None, now=now)


def _foreseen(forecast: NicForecast, next_reconcile_at: datetime | None, *, now: datetime) -> Iterator[Next]:
    """Yield what an open outcome leads to."""
    if forecast.outcome is Outcome.BY_MIGRATION:
        yield Next(at=None, what=f"{_THEN[forecast.outcome]} ({forecast.reason})")
    if forecast.outcome is Outcome.IN_PLACE and (evidence := forecast.evidence) is not None:
        yield from _once_failed(evidence, reason=forecast.reason)
    if (then := forecast.otherwise) is not None:
        yield Next(at=now + then.after, what=f"if nobody has answered: {_THEN[then.outcome]} ({then.reason})")
    elif next_reconcile_at is not None and next_reconcile_at > now:
        yield Next(at=next_reconcile_at, what="nicplug looks at it again, also if nothing has changed")


def _of_migration(nic: NicRow, *, is_retried: bool) -> str:
    if nic.needs_action:
        return "the migration goes on when that is done"
    return "the migration is tried again" if is_retried else "it is ready when the migration has ended"


def _once_failed(evidence: PathEvidence, *, reason: str) -> Iterator[Next]:
    """Yield what the controller's next failures lead to before its timeout; nothing once it has done its part."""
    chosen = choose_path(evidence)
    is_tried = chosen.verdict is Verdict.DYNAMIC and chosen.reason == reason
    if not is_tried or evidence.failed_attempts >= FAILED_ATTEMPTS:
        return
    then = choose_path(replace(evidence, failed_attempts=FAILED_ATTEMPTS))
    if then.verdict is Verdict.DYNAMIC:
        return
    when = "if that fails too" if evidence.failed_attempts else f"if the controller fails {FAILED_ATTEMPTS} times"
    yield Next(at=None, what=f"{when}: {_ONCE_FAILED[then.verdict]} ({then.reason})")
