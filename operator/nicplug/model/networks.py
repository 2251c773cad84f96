"""Interfaces and networks of a VMI spec or of a VM template."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from nicplug.elided import ELIDED, said
from nicplug.model.frozen_json import FrozenJson, freeze, read, thaw
from nicplug.model.metadata import mapping, sequence, text
from nicplug.model.per_pass import once_per_pass

# MAC addresses in the notations that KubeVirt's admission accepts.

_DOTTED = re.compile(r"^[0-9a-fA-F]{4}([.][0-9a-fA-F]{4}){2}$")


def without_dots(mac: str) -> str:
    """Return `0200.0000.0001` with colons, as CNI plugins read it; any other text unchanged."""
    if not _DOTTED.fullmatch(mac):
        return mac
    digits = mac.replace(".", "")
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def normalised_mac(mac: str) -> str:
    """Return a MAC address in the form used for comparisons."""
    return without_dots(mac).lower().replace("-", ":")


class Binding(StrEnum):
    """How an interface is connected to its pod interface; PLUGIN is a registered network binding plugin.

    SLIRP, MACVTAP and OLD_PASST belong to earlier releases: nicplug only names them in messages.
    """

    BRIDGE = "bridge"
    MASQUERADE = "masquerade"
    SRIOV = "sriov"
    PASST = "passtBinding"
    PLUGIN = "binding"
    SLIRP = "slirp"
    MACVTAP = "macvtap"
    OLD_PASST = "passt"
    UNKNOWN = ""


# Only these bindings work in a running VM: KubeVirt 1.9 pkg/network/controllers/vm.go.
HOTPLUGGABLE_BINDINGS = frozenset({Binding.BRIDGE, Binding.SRIOV})

ABSENT = "absent"
KNOWN_STATES = frozenset({"", "up", "down", ABSENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One element of `domain.devices.interfaces`; `raw` is the whole element.

    Attributes:
        plugin: name of the binding plugin; "" with any other binding.
    """

    name: str
    binding: Binding
    plugin: str
    state: str
    mac_address: str
    raw: FrozenJson = field(repr=False)

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """All bindings in the element; KubeVirt's admission accepts only one."""
        return _bindings_in(read(self.raw))

    @property
    def is_unread(self) -> bool:
        """True if a value of it is so long that only the name is kept."""
        return f'"{ELIDED}":' in self.raw and ELIDED in read(self.raw)

    @property
    def is_absent(self) -> bool:
        """True if the user requests that the NIC be unplugged."""
        return self.state == ABSENT

    def with_state(self, state: str) -> "Interface":
        """Return the interface with another `state`; an empty one removes the key."""
        raw = thaw(self.raw)
        raw.pop("state", None)
        if state:
            raw["state"] = state
        return parse_interface(raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One element of `spec.networks`.

    Attributes:
        attachment: `multus.networkName` as written, or "" for a network of another type.
        is_pod: True for the cluster's pod network.
        is_default: True for a Multus network that replaces the pod network.
    """

    name: str
    attachment: str
    is_pod: bool
    is_default: bool
    raw: FrozenJson = field(repr=False)

    @property
    def is_secondary(self) -> bool:
        """True for a Multus network beside the primary one: the only kind that is hot-plugged."""
        return bool(self.attachment) and not self.is_default

    @property
    def is_primary(self) -> bool:
        """True for the pod network, or the Multus network that replaces it."""
        return self.is_pod or self.is_default

    @property
    def is_claimed(self) -> bool:
        """True for a device that a ResourceClaim allocates: Multus does not attach it, and only a new pod gets one."""
        return read(self.raw).get("resourceClaim") is not None

    def with_attachment(self, attachment: str) -> "Network":
        """Return the Multus network with another `networkName`."""
        raw = thaw(self.raw)
        raw["multus"]["networkName"] = attachment
        return parse_network(raw)

    def attachment_reference(self, *, namespace: str) -> tuple[str, str]:
        """Return namespace and name of the network attachment definition."""
        return split_attachment(self.attachment, namespace=namespace)

    def reference(self, *, namespace: str) -> str:
        """Return `<namespace>/<name>` of the network attachment definition."""
        return "/".join(self.attachment_reference(namespace=namespace))


def split_attachment(attachment: str, *, namespace: str) -> tuple[str, str]:
    """Return namespace and name of a reference to a network attachment definition.

    Args:
        namespace: used if the reference has no slash. Splits at the first slash, as KubeVirt does.
    """
    head, slash, tail = attachment.partition("/")
    return (head, tail) if slash else (namespace, head)


def parse_interface(raw: Mapping[str, Any]) -> Interface:
    """Parse one interface; unknown members stay in `raw`."""
    binding = next(iter(_bindings_in(raw)), Binding.UNKNOWN)
    return Interface(
        name=said(raw.get("name")),
        binding=binding,
        plugin=text(mapping(raw.get("binding")).get("name")) if binding is Binding.PLUGIN else "",
        state=said(raw.get("state")),
        mac_address=without_dots(said(raw.get("macAddress"))),
        raw=freeze(raw),
    )


def _bindings_in(raw: Mapping[str, Any]) -> tuple[Binding, ...]:
    return tuple(kind for kind in Binding if kind and raw.get(kind.value) is not None)


def parse_network(raw: Mapping[str, Any]) -> Network:
    """Parse one network; unknown members stay in `raw`."""
    multus = mapping(raw.get("multus"))
    elided = raw if ELIDED in raw else multus
    return Network(
        name=said(raw.get("name")),
        attachment=said(elided if ELIDED in elided else multus.get("networkName")),
        is_pod=raw.get("pod") is not None,
        is_default=multus.get("default") is True,
        raw=freeze(raw),
    )


def parse_interfaces(spec: Mapping[str, Any]) -> tuple[Interface, ...]:
    """Return the interfaces of a VMI spec, in order."""
    devices = mapping(mapping(spec.get("domain")).get("devices"))
    return tuple(parse_interface(item) for item in sequence(devices.get("interfaces")) if isinstance(item, Mapping))


def parse_networks(spec: Mapping[str, Any]) -> tuple[Network, ...]:
    """Return the networks of a VMI spec, in order."""
    return tuple(parse_network(item) for item in sequence(spec.get("networks")) if isinstance(item, Mapping))


def networks_of(interfaces: Iterable[Interface], networks: Iterable[Network]) -> tuple[Network, ...]:
    """Return the networks of `interfaces`, in the order of the interfaces (KubeVirt `FilterNetworksByInterfaces`)."""
    by_name = {network.name: network for network in networks}
    return tuple(by_name[interface.name] for interface in interfaces if interface.name in by_name)


@once_per_pass
def secondary_names(networks: Sequence[Network]) -> tuple[str, ...]:
    """Return the names of the secondary networks, in order."""
    return tuple(network.name for network in networks if network.is_secondary)


N = TypeVar("N", Interface, Network)


@once_per_pass
def first_by_name(items: Sequence[N]) -> Mapping[str, N]:
    """Return the entries of a list by name; the first of two of one name counts."""
    return {item.name: item for item in reversed(items)}


@once_per_pass
def secondary_by_name(networks: Sequence[Network]) -> Mapping[str, Network]:
    """Return the secondary networks by name; the first of two of one name counts."""
    return {network.name: network for network in reversed(networks) if network.is_secondary}


@once_per_pass
def wanted_by_name(interfaces: Sequence[Interface]) -> Mapping[str, Interface]:
    """Return the interfaces that are not absent, by name; the first of two of one name counts."""
    return {item.name: item for item in reversed(interfaces) if not item.is_absent}
