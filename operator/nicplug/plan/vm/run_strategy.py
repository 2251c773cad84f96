"""Whether a VM's VMI is to be started, stopped or left alone, and when: a case per run strategy."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import dropwhile
from typing import Any

from nicplug.model.metadata import mapping, text
from nicplug.model.requests import StateChange, StateChangeRequest, parse_requests
from nicplug.model.times import format_time, parse_time
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase

# How long a VM whose guests never came up waits before the next start.
#
# Source: KubeVirt 1.9 `vm.go` (`status.startFailure`): 10 s times the square of the failures in a row, plus up to half
# of it, at most 300 s. Without it a launcher that dies at once is recreated endlessly.
#
# No clock is trusted beyond that maximum: a retry that is scheduled later, by any clock, is brought forward to it.

_BASE_SECONDS = 10
_MAXIMUM = timedelta(seconds=300)
# The maximum delay is reached well before; the status may hold any number.
_MAXIMUM_FAILURES = 1_000_000
_TRACKED = frozenset({RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE, RunStrategy.ONCE})


def start_failure(
    *, status: Mapping[str, Any], strategy: RunStrategy, vmi: VirtualMachineInstance | None, now: datetime
) -> dict[str, Any] | None:
    """Return the wanted `status.startFailure`; None if the last guest came up, or only a user starts the VM."""
    known = mapping(status.get("startFailure"))
    if strategy not in _TRACKED or (vmi is not None and _came_up(vmi)):
        return None
    if vmi is None or not vmi.is_final or known.get("lastFailedVMIUID") == vmi.uid:
        return _without_far_future(known, now=now) or None
    failures = failed_starts(known) + 1
    return {
        "consecutiveFailCount": failures,
        "lastFailedVMIUID": vmi.uid,
        "retryAfterTimestamp": format_time(now + _backoff(failures, seed=vmi.uid)),
    }


def failed_starts(failure: Mapping[str, Any]) -> int:
    """Return how many starts in a row have failed, from a `status.startFailure` that any client may have written."""
    count = failure.get("consecutiveFailCount")
    return min(max(count, 0), _MAXIMUM_FAILURES) if isinstance(count, int) else 0


def start_not_before(status: Mapping[str, Any], *, now: datetime) -> datetime | None:
    """Return the time before which no VMI is created."""
    retry = parse_time(mapping(status.get("startFailure")).get("retryAfterTimestamp"))
    return min(retry, now + _MAXIMUM) if retry is not None else None


def _without_far_future(known: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    retry = parse_time(known.get("retryAfterTimestamp"))
    if retry is None or retry <= now + _MAXIMUM:
        return dict(known)
    return {**known, "retryAfterTimestamp": format_time(now + _MAXIMUM)}


def _came_up(vmi: VirtualMachineInstance) -> bool:
    return vmi.phase is VmiPhase.RUNNING or VmiPhase.RUNNING in vmi.status.phase_times


def _backoff(failures: int, *, seed: str) -> timedelta:
    """Derive jitter from the uid instead of a random number: equal views give equal plans."""
    seconds = _BASE_SECONDS * failures * failures
    share = hashlib.sha256(seed.encode()).digest()[0] / 255
    return min(timedelta(seconds=seconds * (1 + share / 2)), _MAXIMUM)


# Pure: its input is `RunState`. Knows nothing of taken names, rejections or finalizers: `plan.vm.plan_vm` checks them
# and decides whether the action is possible now.
#
# Source: KubeVirt 1.9 `vm.go` (`syncRunStrategy`, `isTrimFirstChangeRequestNeeded`); what differs is in
# docs/differences.md.


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """The input of the decision.

    Attributes:
        recorded: `status.runStrategy`: the strategy under which the VM last had a VMI; "" if it never had one.
        vmi: the VM's own VMI; None if it has none.
        requests: the requests of users that are not done yet; only the first counts.
        not_before: no start before this time, because of failed ones.
    """

    strategy: RunStrategy
    recorded: str
    vmi: VirtualMachineInstance | None
    requests: tuple[StateChangeRequest, ...]
    not_before: datetime | None

    @property
    def start_request(self) -> StateChangeRequest | None:
        """The request to start that is served next."""
        first = self.requests[0] if self.requests else None
        return first if first is not None and first.action is StateChange.START else None

    @property
    def is_to_stop(self) -> bool:
        """True if a request to stop the VMI is pending; requests for another VMI have been dropped."""
        return bool(self.requests) and self.requests[0].action is StateChange.STOP


@dataclass(frozen=True, slots=True)
class Start:
    """Create the VMI.

    Attributes:
        paused: True if the guest starts paused, until a user unpauses it.
    """

    paused: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Start at that time, because earlier starts have failed."""

    until: datetime


class RunAction(Enum):
    """What else can happen to a VM's VMI."""

    STOP = "delete the VMI"
    REMEMBER_START = "record that the VMI is to be recreated"
    """Before it is deleted: nothing else would tell a new leader."""
    TURN_ON = "set the run strategy to Always"
    """A start of a halted VM was requested."""
    NOTHING = "everything is as wanted, or in progress"


Decision = Start | Wait | RunAction


def run_state_of(vm: VirtualMachine, vmi: VirtualMachineInstance | None, *, now: datetime) -> RunState:
    """Return what starting and stopping depends on, from a VM and its own VMI."""
    status = vm.status.members
    requests = parse_requests(status.get("stateChangeRequests"))
    return RunState(
        strategy=vm.run_strategy,
        recorded=text(status.get("runStrategy")),
        vmi=vmi,
        requests=_pending(requests, strategy=vm.run_strategy, vmi=vmi),
        not_before=start_not_before(status, now=now),
    )


def _pending(
    requests: tuple[StateChangeRequest, ...], *, strategy: RunStrategy, vmi: VirtualMachineInstance | None
) -> tuple[StateChangeRequest, ...]:
    """Return the requests that are not done. Checks only the first, as later ones have not been acted on.

    nicplug's own record is dropped when the run strategy changes: KubeVirt's starts a VM again that was halted while
    its failed VMI was being deleted.
    """
    if strategy is not RunStrategy.RERUN_ON_FAILURE:
        requests = tuple(request for request in requests if not request.is_rerun)
    return tuple(dropwhile(lambda request: _is_done(request, vmi), requests))


def _is_done(request: StateChangeRequest, vmi: VirtualMachineInstance | None) -> bool:
    if request.action is StateChange.STOP:
        return vmi is None or request.vmi_uid != vmi.uid
    return vmi is not None and not vmi.deleting and not vmi.is_final


def decide(run_state: RunState, *, now: datetime) -> Decision:
    """Decide what happens to the VMI."""
    if run_state.vmi is not None and run_state.vmi.deleting:
        return RunAction.NOTHING
    case = _CASES.get(run_state.strategy)
    return case(run_state, now) if case is not None else RunAction.NOTHING


def _always(run_state: RunState, now: datetime) -> Decision:
    """Run one VMI after the other; a request to stop this one is a request to restart."""
    if run_state.vmi is None:
        return _start_or_wait(run_state, now)
    return RunAction.STOP if run_state.vmi.is_final or run_state.is_to_stop else RunAction.NOTHING


def _rerun_on_failure(run_state: RunState, now: datetime) -> Decision:
    """Run it again after a failure, but not after a guest that ended successfully or was stopped."""
    vmi = run_state.vmi
    if vmi is None:
        # A change from another strategy counts as a request to start.
        is_wanted = run_state.start_request is not None or run_state.recorded != run_state.strategy
        return _start_or_wait(run_state, now) if is_wanted else RunAction.NOTHING
    is_remembered = any(request.action is StateChange.START for request in run_state.requests)
    if vmi.phase is VmiPhase.FAILED and not is_remembered:
        return RunAction.REMEMBER_START
    return RunAction.STOP if vmi.is_final or run_state.is_to_stop else RunAction.NOTHING


def _manual(run_state: RunState, now: datetime) -> Decision:
    """Start and stop on request only; a request of a user skips the back-off."""
    if run_state.vmi is None:
        return _start(run_state) if run_state.start_request is not None else RunAction.NOTHING
    return RunAction.STOP if run_state.is_to_stop else RunAction.NOTHING


def _halted(run_state: RunState, now: datetime) -> Decision:
    """Run nothing; a request to start changes the strategy, as in KubeVirt."""
    if run_state.vmi is not None:
        return RunAction.STOP
    return RunAction.TURN_ON if run_state.start_request is not None else RunAction.NOTHING


def _once(run_state: RunState, now: datetime) -> Decision:
    """Start it once, however it ends."""
    was_started = run_state.vmi is not None or run_state.recorded == run_state.strategy
    return RunAction.NOTHING if was_started else _start(run_state)


def _start_or_wait(run_state: RunState, now: datetime) -> Start | Wait:
    not_before = run_state.not_before
    return Wait(not_before) if not_before is not None and now < not_before else _start(run_state)


def _start(run_state: RunState) -> Start:
    request = run_state.start_request
    return Start(paused=request is not None and request.is_paused)


_CASES: dict[RunStrategy, Callable[[RunState, datetime], Decision]] = {
    RunStrategy.ALWAYS: _always,
    RunStrategy.RERUN_ON_FAILURE: _rerun_on_failure,
    RunStrategy.MANUAL: _manual,
    RunStrategy.HALTED: _halted,
    RunStrategy.ONCE: _once,
}


def strategy_to_record(run_state: RunState, decision: Decision) -> str:
    """Return the wanted `status.runStrategy`.

    It follows the spec once the VM has had a VMI, but not before a start that is still due: with RerunOnFailure and
    Once it shows whether a VMI has been started under that strategy.
    """
    if run_state.strategy not in _CASES:
        return run_state.recorded
    if run_state.vmi is not None or (run_state.recorded and not isinstance(decision, Start | Wait)):
        return str(run_state.strategy)
    return run_state.recorded


def is_recorded(vm: VirtualMachine) -> bool:
    """Report whether the VM has recorded its start, so that it no longer needs its VMI to know."""
    if vm.deleting or vm.run_strategy not in (RunStrategy.ONCE, RunStrategy.RERUN_ON_FAILURE):
        return True
    return text(vm.status.members.get("runStrategy")) == vm.run_strategy
