"""What a VM answers to `start`, `stop` and `restart`, by its run strategy.

| run strategy | start | stop | restart |
|---|---|---|---|
| Always | refused | the strategy becomes Halted | Stop and Start are requested |
| Halted | the strategy becomes Always; paused: Start is requested | only sooner than it is under way: Stop | refused |
| Manual, RerunOnFailure | Start is requested | Stop is requested | Stop and Start are requested |
| Once | refused | the strategy becomes Halted | refused |

`vmi` is the VMI of the VM's name, regardless of its owner; None if it does not exist. `name` is for texts.

Requests are in `status.stateChangeRequests`, for the VM controller to process. KubeVirt answers 500 if the state of the
VM does not allow the request; nicplug answers 409 with KubeVirt's words.

Source: KubeVirt 1.0 `pkg/virt-api/rest/subresource.go`, in 1.9 `lifecycle.go`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nicplug.model.metadata import mapping, sequence
from nicplug.model.requests import StateChange
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase, own_vmi
from nicplug.plan.actions import PatchSpec, patch_members, patch_status, turn_vm
from nicplug.plan.subresources.answers import ACCEPTED, Answer, Endpoint, bad_request, conflict, not_found
from nicplug.plan.subresources.options import DRY_RUN_OPTION, Body, GoType, is_dry_run, options_of, problem_of

UNREADABLE = "Can not unmarshal Request body to struct, error: "
NOT_RUNNING = "VM is not running"
ALREADY_RUNNING = "VM is already running"
UNDER_WAY = "unable to complete request: stop/start already underway"
BOTH_SET = "running and runstrategy are mutually exclusive"
NEGATIVE_GRACE = "gracePeriod has to be greater or equal to 0"
ONLY_ZERO_GRACE = "For force restart, only gracePeriod=0 is supported for now"

_REQUESTS, _START_FAILURE = "stateChangeRequests", "startFailure"
_GRACE = "terminationGracePeriodSeconds"
_NOT_STARTED = (VmiPhase.UNSET, VmiPhase.UNKNOWN)
_RESTARTABLE = (RunStrategy.ALWAYS, RunStrategy.MANUAL, RunStrategy.RERUN_ON_FAILURE)

_START_OPTIONS = {"paused": GoType.BOOL, DRY_RUN_OPTION: GoType.STRINGS}
_STOP_OPTIONS = {"gracePeriod": GoType.INT64, DRY_RUN_OPTION: GoType.STRINGS}
_RESTART_OPTIONS = {"gracePeriodSeconds": GoType.INT64, DRY_RUN_OPTION: GoType.STRINGS}


def ask_start(body: Body, *, name: str, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> Answer:
    """Start the VM; the body is checked after the objects, as in KubeVirt."""
    if vm is None:
        return not_found(Endpoint.VM, name)
    if vmi is not None and not vmi.is_final and vmi.phase not in _NOT_STARTED:
        return conflict(Endpoint.VM, name, ALREADY_RUNNING)
    if problem := problem_of(body, struct="StartOptions", members=_START_OPTIONS):
        return bad_request(f"{UNREADABLE}{problem}")
    options = options_of(body, _START_OPTIONS)
    start = _start(paused=options.get("paused") is True)
    match vm.run_strategy:
        case RunStrategy.HALTED:
            answer = _request(vm, start) if options.get("paused") else replace(ACCEPTED, write=turn_vm(vm, is_on=True))
        case RunStrategy.MANUAL | RunStrategy.RERUN_ON_FAILURE:
            answer = _start_on_request(vm, own_vmi(vmi, vm_uid=vm.uid), start)
        case _:
            answer = _unsupported(vm, "does not support manual start requests")
    return _dry(answer, options)


def _start_on_request(vm: VirtualMachine, vmi: VirtualMachineInstance | None, start: Mapping[str, Any]) -> Answer:
    """Request the start; a VMI that has ended is stopped first, unless the VM controller does that itself."""
    if vmi is None or not vmi.is_final:
        return _request(vm, start)
    is_manual = vm.run_strategy is RunStrategy.MANUAL
    if not is_manual and vmi.phase is VmiPhase.FAILED:
        return _unsupported(vm, "does not support starting VM from failed state")
    return _request(vm, _stop(vmi), start)


def ask_stop(body: Body, *, name: str, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> Answer:
    """Stop the VM, with the grace period of the body if it has one."""
    if problem := problem_of(body, struct="StopOptions", members=_STOP_OPTIONS):
        return bad_request(f"{UNREADABLE}{problem}")
    options = options_of(body, _STOP_OPTIONS)
    grace = options.get("gracePeriod")
    if grace is not None and grace < 0:
        return bad_request(NEGATIVE_GRACE)
    if vm is None:
        return not_found(Endpoint.VM, name)
    own = own_vmi(vmi, vm_uid=vm.uid)
    live = own if own is not None and not own.is_final else None
    answer = _stop_by_strategy(vm, live, grace=grace)
    if answer.code == ACCEPTED.code and live is not None and grace is not None:
        answer = replace(answer, first=_shorten(live, grace))
    return _dry(answer, options)


def _stop_by_strategy(vm: VirtualMachine, live: VirtualMachineInstance | None, *, grace: int | None) -> Answer:
    match vm.run_strategy:
        case RunStrategy.ALWAYS | RunStrategy.ONCE:
            return replace(ACCEPTED, write=turn_vm(vm, is_on=False))
        case RunStrategy.MANUAL | RunStrategy.RERUN_ON_FAILURE | RunStrategy.HALTED:
            if live is None:
                return conflict(Endpoint.VM, vm.key.name, NOT_RUNNING)
        case _:
            return _unsupported(vm, "does not support manual stop requests")
    given = _grace_of(live)
    # A halted VM is already being stopped, within a grace period.
    if vm.run_strategy is RunStrategy.HALTED and (grace is None or (given is not None and grace >= given)):
        return _unsupported(vm, "only supports manual stop requests with a shorter graceperiod")
    return _request(vm, _stop(live))


def ask_restart(body: Body, *, name: str, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> Answer:
    """Stop the VMI and start another one; with `gracePeriodSeconds: 0` without waiting for the guest."""
    if problem := problem_of(body, struct="RestartOptions", members=_RESTART_OPTIONS):
        return bad_request(f"{UNREADABLE}{problem}")
    options = options_of(body, _RESTART_OPTIONS)
    grace = options.get("gracePeriodSeconds")
    if grace:
        return bad_request(ONLY_ZERO_GRACE if grace > 0 else NEGATIVE_GRACE)
    if vm is None:
        return not_found(Endpoint.VM, name)
    if vm.run_strategy not in _RESTARTABLE:
        return _unsupported(vm, "does not support manual restart requests", prefix="RunStategy ")
    own = own_vmi(vmi, vm_uid=vm.uid)
    if own is None:
        return conflict(Endpoint.VM, name, f"{NOT_RUNNING}: {RunStrategy.HALTED}")
    answer = _request(vm, _stop(own), _start(paused=False))
    if answer.code == ACCEPTED.code and grace == 0 and not own.is_final:
        answer = replace(answer, first=_shorten(own, grace))
    return _dry(answer, options)


def _start(*, paused: bool) -> Mapping[str, Any]:
    data = {"data": {"paused": "true"}} if paused else {}
    return {"action": StateChange.START.value, **data}


def _stop(vmi: VirtualMachineInstance) -> Mapping[str, Any]:
    return {"action": StateChange.STOP.value, "uid": vmi.uid}


def _request(vm: VirtualMachine, *changes: Mapping[str, Any]) -> Answer:
    """Record the request. A single stop replaces everything that is pending; nothing else does."""
    status = vm.status.members
    pending = status.get(_REQUESTS)
    is_stop = len(changes) == 1 and changes[0]["action"] == StateChange.STOP
    if sequence(pending) and not is_stop:
        return conflict(Endpoint.VM, vm.key.name, UNDER_WAY)
    if list(sequence(pending)) == [dict(change) for change in changes]:
        return ACCEPTED
    wanted: dict[str, Any] = {_REQUESTS: [dict(change) for change in changes]}
    if status.get(_START_FAILURE) is not None:
        wanted[_START_FAILURE] = None  # a user's request skips the back-off
    return replace(ACCEPTED, write=patch_status(vm, wanted))


def _grace_of(vmi: VirtualMachineInstance) -> int | None:
    grace = mapping(vmi.read_spec()).get(_GRACE)
    return grace if isinstance(grace, int) else None


def _shorten(vmi: VirtualMachineInstance, grace: int) -> PatchSpec | None:
    seen = _grace_of(vmi)
    if seen == grace:
        return None
    return patch_members(PatchSpec, vmi, present={_GRACE: seen}, wanted={_GRACE: grace})


def _unsupported(vm: VirtualMachine, why: str, *, prefix: str = "") -> Answer:
    if vm.run_strategy is RunStrategy.CONFLICTING:
        return conflict(Endpoint.VM, vm.key.name, BOTH_SET)
    return conflict(Endpoint.VM, vm.key.name, f"{prefix}{vm.run_strategy} {why}")


def _dry(answer: Answer, options: Mapping[str, Any]) -> Answer:
    """Drop the writes if the request is a dry run."""
    return replace(answer, write=None, first=None) if is_dry_run(options) else answer
