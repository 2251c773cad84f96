"""Works off `status.interfaceRequests`: what `virtctl addinterface` and `removeinterface` have recorded.

A request changes the template, by which it outlasts a restart, and the VMI if there is one that runs. It ends, and
leaves the list, after these writes: an operator that dies in between is followed by one that finds the change made, and
has only to end the request.

Source: KubeVirt 1.0 `pkg/virt-controller/watch/vm.go` and `network.go`; what differs is in docs/differences.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nicplug.model.conditions import FAILURE, TRUE, find_condition
from nicplug.model.frozen_json import FrozenJson, freeze
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.metadata import objects, text
from nicplug.model.networks import ABSENT, first_by_name, wanted_by_name
from nicplug.model.requests import (
    MEMBER,
    AddInterface,
    InterfaceRequest,
    PendingRequest,
    RemoveInterface,
    UnreadableRequest,
    parse_interface_requests,
)
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, Kind, PatchAnnotations, PatchInterfaces, PatchStatus
from nicplug.plan.nic.requested import is_leaving, lists_after, object_to
from nicplug.plan.nic.template_sync import Devices, patch_devices, patch_vmi, wanted_template_devices
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmView
from nicplug.plan.vm.live_changes import after_a_look

_PREFIX = "error encountered while handling dynamic interface request: "
# Looked at in one pass; the others are next. A status can hold tens of thousands, and each is compared with all NICs.
_MOST_AT_ONCE = 64
# Marks a failure that stands for requests which have ended: nothing more is known of them.
_ENDED = freeze([])


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkedOff:
    """What becomes of the requests in one pass.

    Attributes:
        actions: the writes that carry some out; empty when none needs a write.
        end: of these requests, where it has to wait: a guest gets a NIC, and nobody waits for the end.
        carried_out: the requests that the actions are for, as JSON; "" without actions.
        kept: the list as it shall be where there are no actions.
        failure: what could not be carried out, and has ended.
    """

    actions: tuple[Action, ...] = ()
    end: tuple[Action, ...] = ()
    carried_out: str = ""
    kept: tuple[PendingRequest, ...] = ()
    failure: Refusal | None = None


@dataclass(slots=True)
class _Progress:
    """How far the requests have been looked at.

    Attributes:
        vm: with the template as it will be.
        done: the requests that it has then.
        waiting: the names that something else has to go away for first.
        failed: those that cannot be carried out, with the reason.
    """

    vm: VirtualMachine
    done: list[PendingRequest]
    waiting: set[str]
    failed: list[tuple[PendingRequest, str]]


def work_off(view: VmView, vmi: VirtualMachineInstance | None, *, refused: Refusal | None = None) -> WorkedOff | None:
    """Decide about all requests; None when there are none, or none may be worked off now.

    Args:
        vmi: the VM's own; None when it has none.
        refused: what the API server refused when requests were carried out.
    """
    rows = view.vm.read_status().get(MEMBER)
    if not rows or view.refusal is not None or view.config is None or not view.config.hotplug_enabled:
        return None
    if not isinstance(rows, list):
        return None  # all of it is too large to be read beside what else there is
    pending = parse_interface_requests(rows)
    live = vmi if vmi is not None and not vmi.deleting and not vmi.is_final else None
    progress = _look_at(pending[:_MOST_AT_ONCE], vm=view.vm, vmi=live)
    if refused is not None and refused.requests in (_as_json(progress.done), _as_json(progress.done[:1])):
        progress = _after_refusal(progress, refused, vm=view.vm, vmi=live)
    actions = _carry_out(progress, view=view, vmi=vmi, live=live)
    if actions:
        # Those that have failed end in the next pass: a condition that says so must not be older than the template.
        kept = _without(pending, progress.done)
        end, carried_out = _trim(view.vm, kept), _as_json(progress.done)
        if not any(action.kind is Kind.VMI for action in actions):
            return WorkedOff(actions=(*actions, end), carried_out=carried_out)
        return WorkedOff(actions=tuple(actions), end=(end,), carried_out=carried_out)
    kept = _without(pending, [*progress.done, *(item for item, _ in progress.failed)])
    has_ended = progress.done or progress.failed
    return WorkedOff(kept=kept, failure=_failure(progress.failed) if has_ended else ended_failure(view.vm))


def ended_failure(vm: VirtualMachine) -> Refusal | None:
    """What could not be carried out before; told until the template changes, or the next request is worked off."""
    row = find_condition(objects(vm.read_status().get("conditions")), FAILURE)
    if row is None or row.get("status") != TRUE or row.get("reason") != Reason.HOTPLUG_ERROR:
        return None
    if row.get("observedGeneration") != vm.generation:
        return None
    return Refusal(reason=Reason.HOTPLUG_ERROR, message=text(row.get("message")), requests=_ENDED)


def _look_at(pending: Sequence[PendingRequest], *, vm: VirtualMachine, vmi: VirtualMachineInstance | None) -> _Progress:
    """In order, each on top of those before it."""
    progress = _Progress(vm=vm, done=[], waiting=set(), failed=[])
    for item in pending:
        request = item.request
        if isinstance(request, UnreadableRequest) and not request.problem:
            continue  # read when those before it have gone
        if isinstance(request, UnreadableRequest):
            progress.failed.append((item, request.problem))
        elif _waits(request, progress, vmi=vmi):
            progress.waiting.add(request.name)
        elif objection := object_to(request, vm=progress.vm, vmi=vmi):
            progress.failed.append((item, objection.message))
        else:
            interfaces, networks = lists_after(request, progress.vm)
            progress.vm = replace(progress.vm, interfaces=interfaces, networks=networks)
            progress.done.append(item)
    return progress


def _waits(request: InterfaceRequest, progress: _Progress, *, vmi: VirtualMachineInstance | None) -> bool:
    """A NIC of the name has to go first; and behind a request that waits, others for that name wait as well."""
    if request.name in progress.waiting:
        return True
    owners = (progress.vm, vmi) if isinstance(request, AddInterface) else ()
    return any(is_leaving(request.name, owner) for owner in owners if owner is not None)


def _after_refusal(
    progress: _Progress, refused: Refusal, *, vm: VirtualMachine, vmi: VirtualMachineInstance | None
) -> _Progress:
    """A single one has failed; of several nobody knows which was at fault, and each is tried alone."""
    first = progress.done[0]
    if refused.requests != _as_json([first]):
        alone = _look_at([first], vm=vm, vmi=vmi)
        return _Progress(vm=alone.vm, done=alone.done, waiting=progress.waiting, failed=progress.failed)
    failed = [*progress.failed, (first, refused.message)]
    return _Progress(vm=vm, done=[], waiting=progress.waiting, failed=failed)


def _carry_out(
    progress: _Progress,
    *,
    view: VmView,
    vmi: VirtualMachineInstance | None,
    live: VirtualMachineInstance | None,
) -> list[Action]:
    """Template first, if the requests are still there: it is what a new leader goes by."""
    if not progress.done:
        return []
    wanted = Devices(progress.vm.interfaces, progress.vm.networks)
    if vmi is None:
        wanted = wanted_template_devices(vm=progress.vm, vmi=None)
    template = patch_devices(view.vm, wanted)
    if template is not None:
        template = replace(template, requests=freeze(view.vm.read_status().get(MEMBER)))
    running = _patch_running(progress, view=view, vmi=live) if live is not None else None
    if template is not None:  # guards what it has seen of the VM, and so what follows
        return [template] if running is None else [template, running]
    return after_a_look(view, live, running) if live is not None else []


def _patch_running(
    progress: _Progress, *, view: VmView, vmi: VirtualMachineInstance
) -> PatchInterfaces | PatchAnnotations | None:
    """What the template now says flows as it always does, but at once; the rest is offered to the VMI beside it.

    That is a NIC which the VMI alone has; and with rollout strategy Stage, which keeps back edits of the template,
    whatever was asked of the running VM.
    """
    vm, is_staged = progress.vm, view.config is not None and view.config.stages_changes
    removed = {item.request.name for item in progress.done if isinstance(item.request, RemoveInterface)}
    names = removed | {item.request.name for item in progress.done if isinstance(item.request, AddInterface)}
    alone = removed & wanted_by_name(vmi.interfaces).keys() - first_by_name(vm.interfaces).keys()
    if not alone and not is_staged and (vm.interfaces, vm.networks) == (view.vm.interfaces, view.vm.networks):
        return None
    offered = replace(
        vm,
        interfaces=(
            *(item for item in vm.interfaces if not is_staged or item.name in names),
            *(item.with_state(ABSENT) for item in vmi.interfaces if item.name in alone),
        ),
        networks=(
            *(item for item in vm.networks if not is_staged or item.name in names),
            *(item for item in vmi.networks if item.name in alone),
        ),
    )
    policy = HotplugPolicy() if is_staged else view.policy
    return patch_vmi(vm=vm, vmi=vmi, policy=policy, offered=offered)


def _trim(vm: VirtualMachine, kept: Sequence[PendingRequest]) -> PatchStatus:
    return PatchStatus(
        kind=Kind.VM,
        key=vm.key,
        uid=vm.uid,
        version=vm.resource_version,
        seen=freeze({MEMBER: vm.read_status().get(MEMBER)}),
        wanted=freeze({MEMBER: [item.to_row() for item in kept] or None}),
    )


def _failure(failed: Sequence[tuple[PendingRequest, str]]) -> Refusal | None:
    if not failed:
        return None
    more = f"; and {len(failed) - 1} more requests failed" if len(failed) > 1 else ""
    message = f"{_PREFIX}{failed[0][1]}{more}"
    return Refusal(reason=Reason.HOTPLUG_ERROR, message=message, requests=_ENDED)


def _without(pending: Sequence[PendingRequest], ended: Sequence[PendingRequest]) -> tuple[PendingRequest, ...]:
    """By identity: of two equal requests one may have ended."""
    gone = {id(item) for item in ended}
    return tuple(item for item in pending if id(item) not in gone)


def _as_json(done: Sequence[PendingRequest]) -> FrozenJson:
    """The requests as JSON: tells whether the same are carried out again."""
    return freeze([item.raw for item in done])
