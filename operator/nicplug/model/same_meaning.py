"""Compares fragments of a VMI spec by meaning, however they are written.

A member that is null, an empty list or an empty text counts as missing (Kubernetes' semantic equality); so does a
member that spells out its default. Quantities are numbers: `1Gi` is `1024Mi`. Everything else is compared literally.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from nicplug.elided import ELIDED, MARKS, aligned
from nicplug.model.frozen_json import freeze, read
from nicplug.model.metadata import mapping
from nicplug.model.networks import Interface, Network, normalised_mac
from nicplug.model.quantity import parse_quantity

# Structs of KubeVirt's API that are not pointers, and maps: there `{}` equals nothing. Elsewhere it has a meaning, as
# in `bridge: {}` or `rng: {}`.
_STRUCTS = frozenset({"domain", "devices", "firmware", "machine", "resources"})
_MAPS = frozenset({"requests", "limits", "nodeSelector", "labels", "annotations"})
_EMPTY_MEANS_MISSING = _STRUCTS | _MAPS
# Of differing fragments: a spec written by people has some hundred values.
_MOST_VALUES = 10_000
_QUANTITY_MEMBERS = frozenset({"guest", "maxGuest"})
_QUANTITY_MAPS = frozenset({"requests", "limits"})
E = TypeVar("E", Interface, Network)
_DEFAULTS: Mapping[str, Any] = {"model": "virtio"}
_NETWORK_DEFAULTS = {"vmNetworkCIDR": "10.0.2.0/24", "vmIPv6NetworkCIDR": "fd10:0:2::/120"}


def plain(value: Any, *, member: str = "", within: str = "") -> Any:
    """Return the value without members that have no meaning, with quantities as numbers; None if nothing is left."""
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
    """Return the paths, with dots, of the members whose meaning differs; a list differs as a whole.

    Members that are equal literally are not compared further. If more values differ than any person would write, the
    rest is compared literally, too.
    """
    return tuple(_Comparison().differing(one, other, path="", member="domain", within=""))


class _Comparison:
    """One comparison of two fragments.

    Attributes:
        left: how many more values it may compare.
    """

    def __init__(self) -> None:
        self.left = _MOST_VALUES

    def differing(self, one: Any, other: Any, *, path: str, member: str, within: str) -> Iterator[str]:
        """Yield the paths that differ, from `path` on."""
        self.left -= 1
        if one == other:
            return
        if member in _EMPTY_MEANS_MISSING:
            one, other = (value if isinstance(value, Mapping) else plain(value) or {} for value in (one, other))
        is_known = not any(isinstance(value, Mapping) and not MARKS.isdisjoint(value) for value in (one, other))
        if isinstance(one, Mapping) and isinstance(other, Mapping) and is_known and self.left > 0:
            for name in sorted(one.keys() | other.keys()):
                below = f"{path}.{name}" if path else name
                yield from self.differing(one.get(name), other.get(name), path=below, member=name, within=member)
        elif not is_known or self._means_another(one, other, member=member, within=within):
            yield path

    def _means_another(self, one: Any, other: Any, *, member: str, within: str) -> bool:
        self.left -= _count_values(one, most=self.left) + _count_values(other, most=self.left)
        if self.left <= 0:
            return True
        return bool(plain(one, member=member, within=within) != plain(other, member=member, within=within))


def _count_values(value: Any, *, most: int) -> int:
    """Return how many values a tree has; stops counting at `most`."""
    count, rest = 0, [value]
    while rest and count <= most:
        item = rest.pop()
        count += 1
        if isinstance(item, Mapping):
            rest += item.values()
        elif isinstance(item, list):
            rest += item
    return count


def aligned_entries(one: E, other: E) -> tuple[E, E]:
    """Return two interfaces or networks; what one of them has elided, and the other has equal, is elided in both."""
    if ELIDED not in one.raw and ELIDED not in other.raw:
        return one, other
    first, second = aligned(read(one.raw), read(other.raw))
    return replace(one, raw=freeze(first)), replace(other, raw=freeze(second))


def interface_members(interface: Interface) -> dict[str, Any]:
    """Return what an interface says besides its name and its `state`."""
    members: dict[str, Any] = plain(read(interface.raw)) or {}
    if isinstance(mac := members.get("macAddress"), str):
        members["macAddress"] = normalised_mac(mac)
    if isinstance(ports := members.get("ports"), list):
        members["ports"] = [_without_defaults(port, {"protocol": "TCP"}) for port in ports]
    said = {name: value for name, value in members.items() if name not in ("name", "state")}
    kept: dict[str, Any] = _without_defaults(said, _DEFAULTS)
    return kept


def network_members(network: Network, *, namespace: str) -> dict[str, Any]:
    """Return what a network says besides its name.

    Args:
        namespace: namespace of the VMI; a reference without one means it.
    """
    members: dict[str, Any] = plain(read(network.raw)) or {}
    if network.is_pod:
        members["pod"] = _without_defaults(mapping(members.get("pod")), _NETWORK_DEFAULTS)
    if network.attachment:
        reference = network.reference(namespace=namespace)
        multus = {**mapping(members.get("multus")), "networkName": reference}
        members["multus"] = _without_defaults(multus, {"default": False})
    return {name: value for name, value in members.items() if name != "name"}


def _without_defaults(members: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(members, Mapping):
        return members
    return {name: value for name, value in members.items() if value != defaults.get(name, _NO_DEFAULT)}


_NO_DEFAULT = object()


def _number(value: Any) -> Any:
    """Return a Kubernetes quantity as a number; anything else unchanged."""
    amount = parse_quantity(value)
    return value if amount is None else amount
