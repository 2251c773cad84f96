"""Processes `status.interfaceRequests`: what `virtctl addinterface` and `removeinterface` have recorded.

A request changes the template, so that it survives a restart, and the VMI if one is running. It is removed from the
list after these writes: if an operator dies in between, the next one finds the change made, and only has to remove the
request.

Source: KubeVirt 1.0 `pkg/virt-controller/watch/vm.go` and `network.go`; the differences are in docs/differences.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nicplug.model.conditions import FAILURE, TRUE
from nicplug.model.frozen_json import FrozenJson, freeze
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.networks import ABSENT, Binding, first_by_name, wanted_by_name
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
from nicplug.plan.actions import Action, Kind, PatchAnnotations, PatchInterfaces, patch_status
from nicplug.plan.nic.default_nic import with_default_nic
from nicplug.plan.nic.requested import is_leaving, lists_after, object_to
from nicplug.plan.nic.template_sync import Devices, patch_devices, patch_vmi, wanted_template_devices
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmView
from nicplug.plan.vm.live_changes import with_check

_PREFIX = "error encountered while handling dynamic interface request: "
# Per pass; the others follow. A status can hold tens of thousands, and each is compared with all NICs.
_MOST_AT_ONCE = 64
# Marks a failure of requests that have been removed from the list: nothing more is known about them.
_ENDED = freeze([])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedRequests:
    """Requests of which none needs another write.

    Attributes:
        kept: the list to keep.
        failure: what could not be carried out, and has been removed.
    """

    kept: tuple[PendingRequest, ...]
    failure: Refusal | None


@dataclass(slots=True)
class _Progress:
    """Progress of a pass over the requests.

    Attributes:
        vm: the VM with its new template.
        done: the requests that this template satisfies.
        waiting: names of NICs that have to be removed first.
        failed: those that cannot be carried out, with the reason.
    """

    vm: VirtualMachine
    done: list[PendingRequest]
    waiting: set[str]
    failed: list[tuple[PendingRequest, str]]


def process_requests(
    view: VmView, vmi: VirtualMachineInstance | None, *, refused: Refusal | None = None
) -> Plan | ProcessedRequests | None:
    """Plan the writes that carry requests out; None if there are none, or none may be processed now.

    Args:
        vmi: the VM's own; None if it has none.
        refused: the API server's rejection of an earlier write that carried out requests.
    """
    rows = view.vm.status.members.get(MEMBER)
    if not rows or view.refusal is not None or view.config is None or not view.config.hotplug_enabled:
        return None
    if not isinstance(rows, list):
        return None  # too large to be read in full beside the other objects in memory
    pending = parse_interface_requests(rows)
    live = vmi if vmi is not None and not vmi.deleting and not vmi.is_final else None
    binding = view.config.default_binding
    progress = _look_at(pending[:_MOST_AT_ONCE], vm=view.vm, vmi=live, binding=binding)
    if refused is not None and refused.requests in (_as_json(progress.done), _as_json(progress.done[:1])):
        progress = _after_refusal(progress, refused, vm=view.vm, vmi=live, binding=binding)
    actions = _carry_out(progress, view=view, vmi=vmi, live=live)
    if actions:
        # Failed requests are removed in the next pass: a condition that reports them must not be older than the
        # template.
        kept = _without(pending, progress.done)
        end = patch_status(view.vm, {MEMBER: [item.to_row() for item in kept] or None})
        carried_out = _as_json(progress.done)
        if not any(action.kind is Kind.VMI for action in actions):
            return Plan(actions=(*actions, end), requests=carried_out)
        # The guest gets a NIC first, and nothing waits for the end of the request.
        return Plan(actions=tuple(actions), afterwards=(end,), requests=carried_out)
    kept = _without(pending, [*progress.done, *(item for item, _ in progress.failed)])
    has_ended = progress.done or progress.failed
    return ProcessedRequests(kept=kept, failure=_failure(progress.failed) if has_ended else ended_failure(view.vm))


def ended_failure(vm: VirtualMachine) -> Refusal | None:
    """Return the earlier failure, which is reported until the template changes or the next request is processed."""
    condition = vm.status.condition(FAILURE)
    if condition.status != TRUE or condition.reason != Reason.HOTPLUG_ERROR:
        return None
    if condition.observed_generation != vm.generation:
        return None
    return Refusal(reason=Reason.HOTPLUG_ERROR, message=condition.message, requests=_ENDED)


def _look_at(
    pending: Sequence[PendingRequest], *, vm: VirtualMachine, vmi: VirtualMachineInstance | None, binding: Binding
) -> _Progress:
    """Evaluate the requests in order, each on top of those before it."""
    progress = _Progress(vm=vm, done=[], waiting=set(), failed=[])
    for item in pending:
        request, found = item.request, progress.vm
        if isinstance(request, AddInterface):
            found = with_default_nic(found, vmi=vmi, binding=binding)
        if isinstance(request, UnreadableRequest) and not request.problem:
            continue  # read once those before it are gone
        if isinstance(request, UnreadableRequest):
            progress.failed.append((item, request.problem))
        elif _waits(request, progress, vmi=vmi):
            progress.waiting.add(request.name)
        elif objection := object_to(request, vm=found, vmi=vmi):
            progress.failed.append((item, objection.message))
        else:
            interfaces, networks = lists_after(request, found)
            progress.vm = replace(progress.vm, interfaces=interfaces, networks=networks)
            progress.done.append(item)
    return progress


def _waits(request: InterfaceRequest, progress: _Progress, *, vmi: VirtualMachineInstance | None) -> bool:
    """Report whether a NIC of the name has to be removed first; later requests for a waiting name wait as well."""
    if request.name in progress.waiting:
        return True
    owners = (progress.vm, vmi) if isinstance(request, AddInterface) else ()
    return any(is_leaving(request.name, owner) for owner in owners if owner is not None)


def _after_refusal(
    progress: _Progress,
    refused: Refusal,
    *,
    vm: VirtualMachine,
    vmi: VirtualMachineInstance | None,
    binding: Binding,
) -> _Progress:
    """Return the progress after a rejection: a single request has failed; several are retried one by one."""
    first = progress.done[0]
    if refused.requests != _as_json([first]):
        alone = _look_at([first], vm=vm, vmi=vmi, binding=binding)
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
    """Patch the template first, if the requests are still there: a new leader relies on it."""
    if not progress.done:
        return []
    wanted = Devices(progress.vm.interfaces, progress.vm.networks)
    if vmi is None:
        wanted = wanted_template_devices(vm=progress.vm, vmi=None)
    template = patch_devices(view.vm, wanted)
    if template is not None:
        template = replace(template, requests=freeze(view.vm.status.members.get(MEMBER)))
    running = _patch_running(progress, view=view, vmi=live) if live is not None else None
    if template is not None:  # also guards what was seen of the VM, and thus the next action
        return [template] if running is None else [template, running]
    return with_check(view, live, running) if live is not None else []


def _patch_running(
    progress: _Progress, *, view: VmView, vmi: VirtualMachineInstance
) -> PatchInterfaces | PatchAnnotations | None:
    """Return the patch that applies the template's changes at once, and offers the rest to the VMI alone.

    The rest is a NIC that only the VMI has; and with rollout strategy Stage, which holds back edits of the template,
    whatever was requested of the running VM.
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


def _failure(failed: Sequence[tuple[PendingRequest, str]]) -> Refusal | None:
    if not failed:
        return None
    more = f"; and {len(failed) - 1} more requests failed" if len(failed) > 1 else ""
    message = f"{_PREFIX}{failed[0][1]}{more}"
    return Refusal(reason=Reason.HOTPLUG_ERROR, message=message, requests=_ENDED)


def _without(pending: Sequence[PendingRequest], ended: Sequence[PendingRequest]) -> tuple[PendingRequest, ...]:
    """Compare by identity: one of two equal requests may have ended."""
    gone = {id(item) for item in ended}
    return tuple(item for item in pending if id(item) not in gone)


def _as_json(done: Sequence[PendingRequest]) -> FrozenJson:
    """Return the requests as JSON, to recognize when the same ones are carried out again."""
    return freeze([item.raw for item in done])
