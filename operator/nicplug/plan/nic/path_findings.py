"""What is said of a NIC whose path was chosen: its pod is waited for, a migration brings it, or nothing does."""

from dataclasses import replace

from nicplug.model.hotplug_policy import MigrationPolicy
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.findings import Finding, Situation
from nicplug.plan.nic.observed import Journey
from nicplug.plan.nic.path.chooser import Chosen
from nicplug.plan.nic.path.messages import by
from nicplug.plan.nic.path.rules import Verdict
from nicplug.plan.reasons import Reason

_PHASES = {
    Verdict.HOLD: OperationPhase.FAILED,
    Verdict.ROLL_BACK: OperationPhase.FAILED,
    Verdict.FAILED: OperationPhase.FAILED,
    Verdict.BLOCKED: OperationPhase.BLOCKED,
    Verdict.RESTART: OperationPhase.BLOCKED,
}


_MIGRATED = "the VM is migrated"
_NOTHING_MORE = frozenset({Verdict.ROLL_BACK, Verdict.FAILED, Verdict.BLOCKED, Verdict.RESTART})


def migration_brings_it(situation: Situation) -> Finding | None:
    """It comes with a migration, that is under way or to be made, or is served right after one."""
    return find_migration(situation, situation.choose(), operation=situation.operation, network=situation.reference)


def find_migration(situation: Situation, chosen: Chosen, *, operation: OperationType, network: str) -> Finding | None:
    """The same for any operation; None when it has nothing to do with a migration.

    Args:
        network: `<namespace>/<definition>` that the NIC is to be on.
    """
    journey, name = situation.journey, situation.interface.name
    if journey is not None and journey.has_target:
        is_settled = chosen.choice.verdict in _NOTHING_MORE
        believed = not is_settled and not _waits_for_turn(chosen, journey, name=name)
        is_brought = journey.brings(operation, name=name, network=network, unless_seen=believed)
        if journey.is_renewable and _goes_in_place(situation, chosen, is_brought=is_brought):
            return None
        if is_brought:
            return _on_its_way(situation, chosen, journey)
        if journey.is_renewable and believed and situation.is_in_spec and operation is not OperationType.UNPLUG:
            return _comes_with_next_pod(chosen, journey)
        # What is settled is not served after it either.
        return settled_by(chosen) if is_settled else _after_its_end(chosen, journey)
    if not _wants_migration(situation, chosen):
        return None
    return _to_be_migrated(situation, chosen)


def path_is_chosen(situation: Situation) -> Finding:
    """What was chosen, when it is no migration."""
    chosen = situation.choose()
    if chosen.choice.verdict is Verdict.HOLD and situation.chooser.is_given_up(situation.interface.name):
        message, remedy = _given_up(situation, chosen)
        return replace(settled_by(chosen), message=message, remedy=remedy)
    if chosen.choice.verdict is Verdict.HOLD:
        return replace(settled_by(chosen), next_attempt=situation.due_again)
    if chosen.choice.verdict is not Verdict.DYNAMIC:
        return settled_by(chosen)
    is_unplug = situation.operation is OperationType.UNPLUG
    finding = _finding(
        chosen,
        phase=OperationPhase.IN_POD if is_unplug else OperationPhase.PENDING,
        message=f"{chosen.choice.message}{_withdrawn(situation)}{_queue(situation)}",
    )
    return replace(finding, next_attempt=situation.next_attempt, again_at=chosen.choice.again_at)


def settled_by(chosen: Chosen) -> Finding:
    """What is said when nothing more is done, or only the controller goes on being asked."""
    verdict, choice = chosen.choice.verdict, chosen.choice
    finding = _finding(chosen, phase=_PHASES[verdict], message=choice.message)
    is_taken_back = verdict is Verdict.ROLL_BACK
    # What a network change failed of is found again: the NIC still has its record, and its migrations.
    is_remembered = is_taken_back and finding.operation is OperationType.PLUG
    return replace(
        finding,
        is_taken_back=is_taken_back,
        rollback_cause=choice.message if is_remembered else "",
        next_attempt=choice.next_attempt,
        again_at=choice.again_at,
    )


def was_taken_back(situation: Situation) -> Finding | None:
    """Before anything else that could be said of its network: nobody is asked for it any more."""
    chosen = situation.choose()
    return settled_by(chosen) if chosen.evidence.rolled_back else None


def left_by_migration(situation: Situation) -> Finding | None:
    """Neither guest nor pod has it, but the pod that the VM moves to was made with it."""
    journey = situation.journey
    if journey is None or situation.interface.name not in (journey.networks or {}):
        return None
    chosen = situation.choose()
    return settled_by(chosen) if chosen.choice.verdict in _NOTHING_MORE else _after_its_end(chosen, journey)


def _goes_in_place(situation: Situation, chosen: Chosen, *, is_brought: bool) -> bool:
    """The running pod is asked, and brings it or says why not; whatever the target pod is waiting for."""
    match chosen.choice.verdict:
        case Verdict.DYNAMIC:
            return not _wants_migration(situation, chosen)
        case Verdict.HOLD:
            return not is_brought
        case _:
            return False


def _wants_migration(situation: Situation, chosen: Chosen) -> bool:
    """Chosen now, or before: a controller that becomes ready meanwhile gets the NIC, but has not brought it yet."""
    journey, record = situation.journey, situation.record
    if chosen.choice.verdict is Verdict.MIGRATE:
        return True
    return (
        chosen.choice.verdict is Verdict.DYNAMIC
        and journey is not None
        and journey.is_own
        and not journey.foreign_phase
        and record is not None
        and record.phase == OperationPhase.MIGRATING
        and record.migration == journey.name
    )


def _to_be_migrated(situation: Situation, chosen: Chosen) -> Finding:
    journey, choice = situation.journey, chosen.choice
    if journey is not None and journey.foreign_phase:
        return _held_by_foreign(situation, chosen, journey)
    if journey is None or not situation.is_in_spec:  # the target pod is made from the VMI's spec
        is_unplug = chosen.evidence.operation is OperationType.UNPLUG
        phase = OperationPhase.IN_POD if is_unplug else OperationPhase.PENDING
        return replace(_finding(chosen, phase=phase, message=choice.message), wants_migration=situation.is_in_spec)
    if _waits_for_turn(chosen, journey, name=situation.interface.name):
        message = f"{choice.message}, after {journey.name}"
        return replace(_finding(chosen, phase=OperationPhase.PENDING, message=message), wants_migration=True)
    waits = f" ({journey.waits_for})" if journey.waits_for else ""
    why = _why_moved(chosen, journey)
    moving = _migrating(chosen, journey, message=f"{why}{waits}", wants_migration=True)
    is_ahead = journey.next_try is not None and journey.next_try > situation.chooser.now
    return replace(moving, why_moved=why, remedy=journey.remedy, next_attempt=journey.next_try if is_ahead else None)


def _held_by_foreign(situation: Situation, chosen: Chosen, journey: Journey) -> Finding:
    """One at a time, and this one goes on only if somebody else carries it on."""
    message = f"the VM is to be migrated for it, and migration {journey.name} of the VM {_not_carried_on(journey)}"
    finding = _finding(chosen, phase=OperationPhase.BLOCKED, message=message)
    return replace(
        finding,
        reason=Reason.FOREIGN_MIGRATION,
        remedy=_delete(journey),
        wants_migration=situation.is_in_spec,
    )


def _not_carried_on(journey: Journey) -> str:
    return f"is in phase {journey.foreign_phase}, which nicplug does not carry on"


def _delete(journey: Journey) -> str:
    return f"If nobody else carries on migration {journey.name}, delete it" if journey.foreign_phase else ""


def _waits_for_turn(chosen: Chosen, journey: Journey, *, name: str) -> bool:
    """It is tried apart, and this is another NIC's migration."""
    return chosen.failures.is_apart and not journey.takes(name)


def _on_its_way(situation: Situation, chosen: Chosen, journey: Journey) -> Finding:
    """Goes on though the choice were another one now: what was begun is sooner there than what would be begun anew."""
    why = _why_moved(chosen, journey)
    pod = f" to pod {journey.target}" if journey.target else ""
    waits = f" ({journey.waits_for})" if journey.is_stuck and journey.waits_for else ""
    waits = f" (it {_not_carried_on(journey)})" if journey.foreign_phase else waits
    may_go_on = situation.view.policy.migration is not MigrationPolicy.NEVER
    moving = _migrating(chosen, journey, message=f"{why}{pod}{waits}", wants_migration=may_go_on)
    return replace(moving, why_moved=why, remedy=_delete(journey) or journey.remedy)


def _why_moved(chosen: Chosen, journey: Journey) -> str:
    """As it was chosen; what was begun goes on though the choice were another one now."""
    if chosen.choice.verdict is not Verdict.MIGRATE:
        return by(_MIGRATED, journey.name, is_tried_apart=False)
    return by(chosen.choice.message, journey.name, is_tried_apart=chosen.evidence.is_tried_apart)


def _migrating(chosen: Chosen, journey: Journey, *, message: str, wants_migration: bool) -> Finding:
    is_chosen = chosen.choice.verdict is Verdict.MIGRATE
    return Finding(
        operation=chosen.evidence.operation,
        path=OperationPath.MIGRATION,
        phase=OperationPhase.MIGRATING,
        reason=chosen.choice.reason if is_chosen else Reason.MIGRATING,
        message=message,
        wants_migration=wants_migration,
        migration=journey.name,
        waiting_since=chosen.waiting_since,
        cause=chosen.cause,
        failures=chosen.failures,
    )


def _comes_with_next_pod(chosen: Chosen, journey: Journey) -> Finding:
    """The target pod was made before this was asked for, and another one takes its place before the hand-off."""
    pod = f"target pod {journey.target}" if journey.target else "a target pod"
    message = f"{_why_moved(chosen, journey)}; {pod} was made before this was asked for, and is replaced"
    return _migrating(chosen, journey, message=message, wants_migration=True)


def _after_its_end(chosen: Chosen, journey: Journey) -> Finding:
    """What the target pod was made without is not asked of the pod that is about to end either."""
    pod = f"pod {journey.target}" if journey.target else "a pod"
    made = "without it" if chosen.failures.is_apart else "before this was asked for"
    return Finding(
        operation=chosen.evidence.operation,
        path=OperationPath.MIGRATION if chosen.choice.verdict is Verdict.MIGRATE else OperationPath.DYNAMIC,
        phase=OperationPhase.PENDING,
        reason=Reason.AFTER_MIGRATION,
        message=f"{journey.name} migrates the VM to {pod}, which was made {made}: it is served right after that",
        failures=chosen.failures,
    )


def _finding(chosen: Chosen, *, phase: OperationPhase, message: str) -> Finding:
    choice = chosen.choice
    return Finding(
        operation=chosen.evidence.operation,
        path=choice.path,
        phase=phase,
        reason=choice.reason,
        message=message,
        remedy=choice.remedy,
        waiting_since=chosen.waiting_since,
        cause=chosen.cause,
        failures=chosen.failures,
    )


def _withdrawn(situation: Situation) -> str:
    if situation.operation is OperationType.PLUG and situation.interface.name in situation.chooser.superseded:
        return ". The NIC was changed while the pod was being asked for it: its former interface is detached first"
    if not situation.chooser.is_withdrawn(situation.interface.name):
        return ""
    return ", which is to detach first what network-status lists and the pod has not got"


def _given_up(situation: Situation, chosen: Chosen) -> tuple[str, str]:
    """Message and remedy."""
    failure = situation.chooser.failure(situation.interface.name)
    error = chosen.evidence.error or (failure.message if failure is not None else "")
    message = (
        f"network-status of {situation.pod_phrase} lists the interface, and the pod has probably not got it: it was "
        f"detached and requested again without success{f': {error}' if error else ''}. It is not retried until "
        "something changes"
    )
    first = "Correct what the message says, then migrate" if error else "Migrate"
    return message, f"{first} or restart the VM"


def _queue(situation: Situation) -> str:
    first = situation.annotation.first_waiting
    if situation.operation is not OperationType.PLUG or first in ("", situation.interface.name):
        return ""
    return f', after NIC "{first}", which holds up all behind it while it fails'
