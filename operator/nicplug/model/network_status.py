"""The network-status annotation: what Multus claims about the interfaces of a pod.

It proves nothing: any client that may patch the pod can forge it, and the dynamic networks controller is known to leave
phantoms in it. Only interfaces that nicplug requested are read.

Source: Multus network attachment specification; KubeVirt `pkg/network/multus/status.go`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.metadata import mapping, text, well_formed
from nicplug.model.networks_annotation import FIRST_ORDINAL_NAME, PRIMARY_POD_INTERFACE, is_hashed_name
from nicplug.model.per_pass import once_per_pass

# An annotation set holds at most 256 KiB in total; no real pod has more entries than this.
MAXIMUM_ENTRIES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInterface:
    """One entry of network-status.

    Attributes:
        network: `<namespace>/<attachment definition>`, or the CNI name of the default network.
    """

    interface: str
    network: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The entries by interface name; order carries no meaning (the controller writes a Go map).

    Attributes:
        problem: why the annotation cannot be used; "" if it can. No conclusion is drawn from an unusable one.
    """

    entries: tuple[PodInterface, ...] = ()
    problem: str = ""

    def has(self, interface: str) -> bool:
        """Report whether a secondary interface of that name is attached, according to Multus."""
        return interface in _secondary_networks(self)

    def network_of(self, interface: str) -> str:
        """Return the network that a secondary interface is attached to, according to Multus; "" for none."""
        return _secondary_networks(self).get(interface, "")

    @property
    def primary_interface(self) -> str:
        """The interface of the default network; `eth0` if network-status does not name it."""
        return next((entry.interface for entry in self.entries if entry.is_default), PRIMARY_POD_INTERFACE)

    @property
    def is_ordinal(self) -> bool:
        """True if the pod names its secondary interfaces `net1`, `net2`, ...: launcher pods before KubeVirt 1.0.

        KubeVirt accepts any `net<i>` as evidence. nicplug does not: another client's element may be called `net9`, and
        a new NIC would then get an ordinal name, with which it can never be unplugged.
        """
        names = {entry.interface for entry in self.entries}
        return FIRST_ORDINAL_NAME in names and not any(map(is_hashed_name, names))


@once_per_pass
def _secondary_networks(status: NetworkStatus) -> Mapping[str, str]:
    """Return the network of each secondary interface; the first of two entries of one interface counts."""
    return {entry.interface: entry.network for entry in reversed(status.entries) if not entry.is_default}


def parse_network_status(annotation: str | None) -> NetworkStatus:
    """Parse the annotation; broken or foreign JSON has no entries, as in KubeVirt, and sets `problem`."""
    if not annotation:
        return NetworkStatus(problem="it is missing")
    try:
        raw = json.loads(annotation)
    except (ValueError, RecursionError) as error:
        return NetworkStatus(problem=f"not JSON: {error}")
    if not isinstance(raw, list):
        return NetworkStatus(problem="not a list")
    entries = (_parse_entry(item) for item in raw[:MAXIMUM_ENTRIES] if isinstance(item, Mapping))
    return NetworkStatus(tuple(sorted(entries, key=lambda entry: (not entry.is_default, entry.interface))))


def _parse_entry(raw: Mapping[str, Any]) -> PodInterface:
    entry = mapping(raw)
    unnamed = PRIMARY_POD_INTERFACE if entry.get("default") is True else ""
    return PodInterface(
        interface=well_formed(text(entry.get("interface"))) or unnamed,
        network=well_formed(text(entry.get("name"))),
        is_default=entry.get("default") is True,
    )
