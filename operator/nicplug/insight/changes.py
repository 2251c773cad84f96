"""A VM or a VMI with NICs more or less, as `addinterface` and `removeinterface` leave it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicplug.insight.known import pending_requests
from nicplug.insight.patched import patched
from nicplug.insight.question import WholeSpec
from nicplug.model.frozen_json import thaw
from nicplug.model.interface_requests import AddInterface, InterfaceRequest
from nicplug.model.metadata import mapping
from nicplug.model.networks import Interface, Network, parse_interfaces, parse_networks
from nicplug.model.vm import parse_vm
from nicplug.plan.nic.requested import with_absent, with_nic

Json = dict[str, Any]


def with_requests(raw: Json, requests: Sequence[InterfaceRequest]) -> tuple[list[Json], Json]:
    """The JSON patch, and the object after it; what a VM has recorded before is worked off first.

    Args:
        raw: a VM, whose template is changed, or a VMI.
    """
    spec: Mapping[str, Any] = mapping(raw.get("spec"))
    if _is_vm(raw):
        spec = mapping(mapping(spec.get("template")).get("spec"))
        requests = (*pending_requests(parse_vm(raw)), *requests)
    interfaces, networks = _apply(parse_interfaces(spec), parse_networks(spec), requests)
    patch: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": mapping(raw.get("metadata")).get("uid")},
        *_lists(raw, [thaw(item.raw) for item in interfaces], [thaw(item.raw) for item in networks]),
    ]
    return patch, patched(raw, patch)


def with_lists(raw: Json, spec: WholeSpec) -> Json:
    """The object with both lists replaced, and nothing else: what else a manifest changes is not looked at.

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
            interfaces = with_absent(request.name, interfaces)
    return interfaces, networks
