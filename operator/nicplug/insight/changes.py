"""Adds and removes NICs of a VM or VMI in memory, as `addinterface` and `removeinterface` do. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicplug.insight.known import pending_requests
from nicplug.insight.patched import patched
from nicplug.insight.question import WholeSpec
from nicplug.model.frozen_json import thaw
from nicplug.model.metadata import mapping, sequence
from nicplug.model.networks import Binding, Interface, Network, parse_interfaces, parse_networks
from nicplug.model.requests import MEMBER, AddInterface, InterfaceRequest
from nicplug.model.vm import parse_vm
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.default_nic import with_default_nic
from nicplug.plan.nic.requested import object_to, with_nic, without_nic

Json = dict[str, Any]


def with_requests(
    raw: Json, requests: Sequence[InterfaceRequest], *, vmi: VirtualMachineInstance | None, binding: Binding
) -> tuple[list[Json], Json]:
    """Return the JSON patch, and the object after it; requests that a VM has already recorded are processed first.

    Args:
        raw: a VM, whose template is changed, or a VMI.
        requests: requests that the checks accept.
        vmi: the live one; None for a stopped VM.
        binding: that of the pod network that a VMI without networks gets.
    """
    spec: Mapping[str, Any] = mapping(raw.get("spec"))
    if _is_vm(raw):
        vm = parse_vm(raw)
        recorded = [item for item in pending_requests(vm) if object_to(item, vm=vm, vmi=vmi) is None]
        requests = (*recorded, *requests)
        if any(isinstance(item, AddInterface) for item in requests):
            vm = with_default_nic(vm, vmi=vmi, binding=binding)
        interfaces, networks = _apply(vm.interfaces, vm.networks, requests)
    else:
        interfaces, networks = _apply(parse_interfaces(spec), parse_networks(spec), requests)
    patch: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": mapping(raw.get("metadata")).get("uid")},
        *_lists(raw, [thaw(item.raw) for item in interfaces], [thaw(item.raw) for item in networks]),
    ]
    return patch, patched(raw, patch)


def with_recorded(raw: Json, requests: Sequence[InterfaceRequest]) -> Json:
    """Return the VM with these requests in its status, as the subresources leave it; a VMI unchanged.

    Requests reach a running VM where an edit of its template would wait: with rollout strategy Stage, and for a NIC
    that only the VMI has.
    """
    if not requests or not _is_vm(raw):
        return raw
    status = mapping(raw.get("status"))
    rows = [*sequence(status.get(MEMBER)), *(request.to_row() for request in requests)]
    return {**raw, "status": {**status, MEMBER: rows}}


def live_instance(vmi: VirtualMachineInstance | None) -> VirtualMachineInstance | None:
    """Return the VMI if it is not ending: nothing is unplugged from one that ends."""
    return vmi if vmi is not None and not vmi.deleting and not vmi.is_final else None


def with_lists(raw: Json, spec: WholeSpec) -> Json:
    """Return the object with both lists replaced; other changes of a manifest are ignored.

    Args:
        raw: a VM, whose template is changed, or a VMI.
    """
    return patched(raw, _lists(raw, [dict(item) for item in spec.interfaces], [dict(item) for item in spec.networks]))


def _is_vm(raw: Json) -> bool:
    return "template" in mapping(raw.get("spec"))


def _lists(raw: Json, interfaces: list[Any], networks: list[Any]) -> list[Json]:
    root = "/spec/template/spec" if _is_vm(raw) else "/spec"
    return [
        {"op": "add", "path": f"{root}/domain/devices/interfaces", "value": interfaces},
        {"op": "add", "path": f"{root}/networks", "value": networks},
    ]


def _apply(
    interfaces: tuple[Interface, ...], networks: tuple[Network, ...], requests: Sequence[InterfaceRequest]
) -> tuple[tuple[Interface, ...], tuple[Network, ...]]:
    for request in requests:
        if isinstance(request, AddInterface):
            interfaces, networks = with_nic(request, interfaces=interfaces, networks=networks)
        else:
            interfaces, networks = without_nic(request.name, interfaces=interfaces, networks=networks)
    return interfaces, networks
