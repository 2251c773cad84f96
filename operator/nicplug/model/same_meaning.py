"""When do two fragments of a VMI spec mean the same, though they are written differently?

A member that is null, an empty list or an empty text is a missing one (Kubernetes' semantic equality); so is a member
that spells out its default. Quantities are numbers: `1Gi` is `1024Mi`. Everything else is compared as it stands.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nicplug.elided import MARKS
from nicplug.model.frozen_json import thaw
from nicplug.model.metadata import mapping
from nicplug.model.networks import Interface, Network
from nicplug.model.quantity import parse_quantity

# Structs of KubeVirt's API that are not pointers, and maps: there `{}` is the same as nothing. Elsewhere it says
# something, as in `bridge: {}` or `rng: {}`.
_STRUCTS = frozenset({"domain", "devices", "firmware", "machine", "resources"})
_MAPS = frozenset({"requests", "limits", "nodeSelector", "labels", "annotations"})
_EMPTY_MEANS_MISSING = _STRUCTS | _MAPS
_QUANTITY_MEMBERS = frozenset({"guest", "maxGuest"})
_QUANTITY_MAPS = frozenset({"requests", "limits"})
_DEFAULTS: Mapping[str, Any] = {"model": "virtio"}
_NETWORK_DEFAULTS = {"vmNetworkCIDR": "10.0.2.0/24", "vmIPv6NetworkCIDR": "fd10:0:2::/120"}


def plain(value: Any, *, member: str = "", within: str = "") -> Any:
    """The value without what says nothing, with quantities as numbers; None when nothing is left."""
    if isinstance(value, Mapping):
        members = {name: plain(item, member=name, within=member) for name, item in value.items()}
        kept = {name: item for name, item in members.items() if item is not None}
        return kept if kept or member not in _EMPTY_MEANS_MISSING else None
    if isinstance(value, list):
        return [plain(item, within=member) for item in value] or None
    if member in _QUANTITY_MEMBERS or within in _QUANTITY_MAPS:
        return _number(value)
    return None if value == "" else value


def differing_members(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths, with dots, of the members whose meaning differs; a list differs as a whole."""
    return tuple(_differing(plain(one, member="domain") or {}, plain(other, member="domain") or {}, path=""))


def _differing(one: Any, other: Any, *, path: str) -> Iterator[str]:
    if path.rpartition(".")[2] in _EMPTY_MEANS_MISSING:
        one, other = one or {}, other or {}
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if not MARKS.isdisjoint(one.keys() | other.keys()) and one != other:
            yield path  # what it says is not known, only that it says something else
            return
        for name in sorted(one.keys() | other.keys()):
            yield from _differing(one.get(name), other.get(name), path=f"{path}.{name}" if path else name)
    elif one != other:
        yield path


def interface_members(interface: Interface) -> dict[str, Any]:
    """What an interface says beside its name and its `state`."""
    members: dict[str, Any] = plain(thaw(interface.raw)) or {}
    if isinstance(mac := members.get("macAddress"), str):
        members["macAddress"] = mac.lower().replace("-", ":")
    if isinstance(ports := members.get("ports"), list):
        members["ports"] = [_without_defaults(port, {"protocol": "TCP"}) for port in ports]
    said = {name: value for name, value in members.items() if name not in ("name", "state")}
    kept: dict[str, Any] = _without_defaults(said, _DEFAULTS)
    return kept


def network_members(network: Network, *, namespace: str) -> dict[str, Any]:
    """What a network says beside its name.

    Args:
        namespace: of the VMI; a reference without one means it.
    """
    members: dict[str, Any] = plain(thaw(network.raw)) or {}
    if network.is_pod:
        members["pod"] = _without_defaults(mapping(members.get("pod")), _NETWORK_DEFAULTS)
    if network.attachment:
        reference = "/".join(network.attachment_reference(namespace=namespace))
        multus = {**members["multus"], "networkName": reference}
        members["multus"] = _without_defaults(multus, {"default": False})
    return {name: value for name, value in members.items() if name != "name"}


def _without_defaults(members: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(members, Mapping):
        return members
    return {name: value for name, value in members.items() if value != defaults.get(name, _NO_DEFAULT)}


_NO_DEFAULT = object()


def _number(value: Any) -> Any:
    """A Kubernetes quantity as a number; anything else as it stands."""
    amount = parse_quantity(value)
    return value if amount is None else amount
