"""Finds starts, stops and restarts of a VM that no operator has carried out yet, from the VM itself. Pure."""

from nicplug.model.metadata import text
from nicplug.model.requests import StateChange, StateChangeRequest, parse_requests
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, own_vmi

_MEMBER = "stateChangeRequests"
_ON_REQUEST = frozenset({RunStrategy.HALTED, RunStrategy.MANUAL})
_AT_REST = frozenset({"", "Stopped"})
"""Values of `printableStatus` of a VM that no operator is about to start: other values say what it waits for."""


def power_requests(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> tuple[str, ...]:
    """Return what waits for an operator, as sentences: recorded requests, a run strategy not applied yet.

    Source: KubeVirt 1.9 `subresource.go`: `start` and `stop` change the run strategy if that determines what runs, and
    otherwise leave a request; a restart is a request to stop, then one to start.
    """
    if vm is None or vm.deleting:
        return ()
    if vmi is None:
        return ("start the VM",) if _is_to_start(vm) else ()
    if vmi.deleting or vmi.is_final or own_vmi(vmi, vm_uid=vm.uid) is None:
        return ()
    if vm.run_strategy is RunStrategy.HALTED:
        return ("stop the VM",)
    if not any(item.action is StateChange.STOP and item.vmi_uid == vmi.uid for item in _requests(vm)):
        return ()
    return ("restart the VM" if _asks_for_start(vm) else "stop the VM",)


def is_off(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> bool:
    """Report whether there is no instance, and neither the run strategy nor a request requires one."""
    return vm is not None and vmi is None and vm.run_strategy in _ON_REQUEST and not _asks_for_start(vm)


def _is_to_start(vm: VirtualMachine) -> bool:
    is_wanted = vm.run_strategy is RunStrategy.ALWAYS or _asks_for_start(vm)
    return is_wanted and text(vm.status.members.get("printableStatus")) in _AT_REST


def _asks_for_start(vm: VirtualMachine) -> bool:
    return any(item.action is StateChange.START and not item.is_rerun for item in _requests(vm))


def _requests(vm: VirtualMachine) -> tuple[StateChangeRequest, ...]:
    return parse_requests(vm.status.members.get(_MEMBER))
