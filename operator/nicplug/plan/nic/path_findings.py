"""Findings about a NIC whose path is chosen: it is requested from its pod, plugged by a migration, or not possible."""

from dataclasses import replace

from nicplug.model.hotplug_policy import MigrationPolicy
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.findings import Finding, Situation
from nicplug.plan.nic.observed import MigrationInProgress
from nicplug.plan.nic.path.messages import by
from nicplug.plan.nic.path.paths_of_vmi import Chosen
from nicplug.plan.nic.path.rules import Verdict
from nicplug.plan.nic.phantoms import PhantomState
from nicplug.plan.reasons import Reason

_PHASES = {
    Verdict.HOLD: OperationPhase.FAILED,
    Verdict.ROLL_BACK: OperationPhase.FAILED,
    Verdict.FAILED: OperationPhase.FAILED,
    Verdict.BLOCKED: OperationPhase.BLOCKED,
    Verdict.RESTART: OperationPhase.BLOCKED,
}


_MIGRATED = "migrating the VM"
_NOTHING_MORE = frozenset({Verdict.ROLL_BACK, Verdict.FAILED, Verdict.BLOCKED, Verdict.RESTART})


def migration_brings_it(situation: Situation) -> Finding | None:
    """Find that a migration, in progress or to be created, plugs the NIC, or that it follows after one."""
    return find_migration(situation, situation.choose(), operation=situation.operation, network=situation.reference)


def find_migration(situation: Situation, chosen: Chosen, *, operation: OperationType, network: str) -> Finding | None:
    """Find the migration for any operation on a NIC; None if no migration is concerned."""
    in_progress, name = situation.in_progress, situation.interface.name
    if in_progress is not None and in_progress.has_target:
        is_settled = chosen.choice.verdict in _NOTHING_MORE
        believed = not is_settled and not _waits_for_turn(chosen, in_progress, name=name)
        is_brought = in_progress.brings(operation, name=name, network=network, unless_seen=believed)
        if in_progress.is_renewable and _goes_in_place(situation, chosen, is_brought=is_brought):
            return None
        if is_brought:
            return _on_its_way(situation, chosen, in_progress)
        if in_progress.is_renewable and believed and situation.is_in_spec and operation is not OperationType.UNPLUG:
            return _comes_with_next_pod(chosen, in_progress)
        # A settled NIC is not plugged after it either.
        return settled_by(chosen) if is_settled else _after_its_end(chosen, in_progress)
    if not _wants_migration(situation, chosen):
        return None
    return _to_be_migrated(situation, chosen)


def path_is_chosen(situation: Situation) -> Finding:
    """Find the state on the chosen path, if that is not a migration."""
    chosen = situation.choose()
    phantom = situation.chooser.phantoms.get(situation.interface.name)
    is_phantom_given_up = phantom is not None and phantom.state is PhantomState.GIVEN_UP
    if chosen.choice.verdict is Verdict.HOLD and is_phantom_given_up:
        message, remedy = _phantom_given_up(situation, chosen)
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
    """Return the finding if nothing more is done, or if only the pod request is retried."""
    verdict, choice = chosen.choice.verdict, chosen.choice
    finding = _finding(chosen, phase=_PHASES[verdict], message=choice.message)
    # The cause of a failed network change can be found again: the NIC still has its record, and its migrations.
    is_remembered = verdict is Verdict.ROLL_BACK and finding.operation is OperationType.PLUG
    return replace(
        finding,
        rollback_cause=choice.message if is_remembered else "",
        next_attempt=choice.next_attempt,
        again_at=choice.again_at,
    )


def was_rolled_back(situation: Situation) -> Finding | None:
    """Find a rolled-back NIC; precedes all findings about its network, as it is not requested any more."""
    chosen = situation.choose()
    return settled_by(chosen) if chosen.evidence.rolled_back else None


def left_by_migration(situation: Situation) -> Finding | None:
    """Find that neither guest nor pod has it, but the target pod was created with it."""
    in_progress = situation.in_progress
    if in_progress is None or situation.interface.name not in (in_progress.networks or {}):
        return None
    chosen = situation.choose()
    return settled_by(chosen) if chosen.choice.verdict in _NOTHING_MORE else _after_its_end(chosen, in_progress)


def _goes_in_place(situation: Situation, chosen: Chosen, *, is_brought: bool) -> bool:
    """True if it is requested from the running pod, whatever the target pod is waiting for."""
    match chosen.choice.verdict:
        case Verdict.DYNAMIC:
            return not _wants_migration(situation, chosen)
        case Verdict.HOLD:
            return not is_brought
        case _:
            return False


def _wants_migration(situation: Situation, chosen: Chosen) -> bool:
    """True if a migration is chosen now, or was: a controller that becomes ready meanwhile has not attached it yet."""
    in_progress, record = situation.in_progress, situation.record
    if chosen.choice.verdict is Verdict.MIGRATE:
        return True
    return (
        chosen.choice.verdict is Verdict.DYNAMIC
        and in_progress is not None
        and in_progress.is_own
        and not in_progress.foreign_phase
        and record is not None
        and record.phase == OperationPhase.MIGRATING
        and record.migration == in_progress.name
    )


def _to_be_migrated(situation: Situation, chosen: Chosen) -> Finding:
    in_progress, choice = situation.in_progress, chosen.choice
    if in_progress is not None and in_progress.foreign_phase:
        return _held_by_foreign(situation, chosen, in_progress)
    if in_progress is None or not situation.is_in_spec:  # the target pod is created from the VMI's spec
        is_unplug = chosen.evidence.operation is OperationType.UNPLUG
        phase = OperationPhase.IN_POD if is_unplug else OperationPhase.PENDING
        return replace(_finding(chosen, phase=phase, message=choice.message), wants_migration=situation.is_in_spec)
    if _waits_for_turn(chosen, in_progress, name=situation.interface.name):
        message = f"{choice.message}, after {in_progress.name}"
        return replace(_finding(chosen, phase=OperationPhase.PENDING, message=message), wants_migration=True)
    waits = f" ({in_progress.waits_for})" if in_progress.waits_for else ""
    why = _why_moved(chosen, in_progress)
    moving = _migrating(chosen, in_progress, message=f"{why}{waits}", wants_migration=True)
    is_ahead = in_progress.next_try is not None and in_progress.next_try > situation.chooser.now
    return replace(
        moving,
        why_moved=why,
        remedy=in_progress.remedy,
        next_attempt=in_progress.next_try if is_ahead else None,
    )


def _held_by_foreign(situation: Situation, chosen: Chosen, in_progress: MigrationInProgress) -> Finding:
    """Return the finding that a migration is in progress that nicplug does not continue."""
    message = (
        f"the VM is to be migrated for it, and migration {in_progress.name} of the VM {_not_carried_on(in_progress)}"
    )
    finding = _finding(chosen, phase=OperationPhase.BLOCKED, message=message)
    return replace(
        finding,
        reason=Reason.FOREIGN_MIGRATION,
        remedy=_delete(in_progress),
        wants_migration=situation.is_in_spec,
    )


def _not_carried_on(in_progress: MigrationInProgress) -> str:
    return f"is in phase {in_progress.foreign_phase}, which nicplug does not carry on"


def _delete(in_progress: MigrationInProgress) -> str:
    return f"If nobody else carries on migration {in_progress.name}, delete it" if in_progress.foreign_phase else ""


def _waits_for_turn(chosen: Chosen, in_progress: MigrationInProgress, *, name: str) -> bool:
    """True if the NIC is retried alone, and the migration in progress is for another one."""
    return chosen.failures.retry_alone and not in_progress.takes(name)


def _on_its_way(situation: Situation, chosen: Chosen, in_progress: MigrationInProgress) -> Finding:
    """Continue the migration even if another path would be chosen now: finishing is faster than starting again."""
    why = _why_moved(chosen, in_progress)
    pod = f" to pod {in_progress.target}" if in_progress.target else ""
    waits = f" ({in_progress.waits_for})" if in_progress.is_stuck and in_progress.waits_for else ""
    waits = f" (it {_not_carried_on(in_progress)})" if in_progress.foreign_phase else waits
    may_go_on = situation.view.policy.migration is not MigrationPolicy.NEVER
    moving = _migrating(chosen, in_progress, message=f"{why}{pod}{waits}", wants_migration=may_go_on)
    return replace(moving, why_moved=why, remedy=_delete(in_progress) or in_progress.remedy)


def _why_moved(chosen: Chosen, in_progress: MigrationInProgress) -> str:
    """The cause of the migration as it was chosen; what has begun continues though the choice would differ now."""
    if chosen.choice.verdict is not Verdict.MIGRATE:
        return by(_MIGRATED, in_progress.name, is_retried_alone=False)
    return by(chosen.choice.message, in_progress.name, is_retried_alone=chosen.evidence.is_retried_alone)


def _migrating(chosen: Chosen, in_progress: MigrationInProgress, *, message: str, wants_migration: bool) -> Finding:
    is_chosen = chosen.choice.verdict is Verdict.MIGRATE
    return Finding(
        operation=chosen.evidence.operation,
        path=OperationPath.MIGRATION,
        phase=OperationPhase.MIGRATING,
        reason=chosen.choice.reason if is_chosen else Reason.MIGRATING,
        message=message,
        wants_migration=wants_migration,
        migration=in_progress.name,
        waiting_since=chosen.waiting_since,
        change=chosen.change,
        failures=chosen.failures,
    )


def _comes_with_next_pod(chosen: Chosen, in_progress: MigrationInProgress) -> Finding:
    """Find that the target pod was created before the request, and is replaced before the hand-off."""
    pod = f"target pod {in_progress.target}" if in_progress.target else "a target pod"
    message = f"{_why_moved(chosen, in_progress)}; {pod} was made before this was asked for, and is replaced"
    return _migrating(chosen, in_progress, message=message, wants_migration=True)


def _after_its_end(chosen: Chosen, in_progress: MigrationInProgress) -> Finding:
    """Find that the target pod lacks the NIC, which is not requested from the source pod any more either."""
    pod = f"pod {in_progress.target}" if in_progress.target else "a pod"
    made = "without it" if chosen.failures.retry_alone else "before this was asked for"
    return Finding(
        operation=chosen.evidence.operation,
        path=OperationPath.MIGRATION if chosen.choice.verdict is Verdict.MIGRATE else OperationPath.DYNAMIC,
        phase=OperationPhase.PENDING,
        reason=Reason.AFTER_MIGRATION,
        message=f"{in_progress.name} migrates the VM to {pod}, which was made {made}: it is served right after that",
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
        change=chosen.change,
        failures=chosen.failures,
    )


def _withdrawn(situation: Situation) -> str:
    if situation.operation is OperationType.PLUG and situation.interface.name in situation.chooser.superseded:
        return ". The NIC was changed while the pod was being asked for it: its former interface is detached first"
    if not situation.chooser.is_withdrawn(situation.interface.name):
        return ""
    return ", which is to detach first what network-status lists and the pod has not got"


def _phantom_given_up(situation: Situation, chosen: Chosen) -> tuple[str, str]:
    """Return message and remedy for a phantom that is given up."""
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
