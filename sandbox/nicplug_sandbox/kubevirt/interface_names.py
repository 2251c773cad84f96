"""Names of interfaces in the launcher pod (section 4.1). Pure."""

import hashlib
import re

from nicplug_sandbox.kubevirt.objects import Json

PRIMARY = "eth0"
_ORDINAL = re.compile(r"^net\d+$")


def is_secondary(network: Json) -> bool:
    """A Multus network that is not the pod's default network."""
    multus = network.get("multus")
    return multus is not None and not multus.get("default")


def hashed_name(network: str) -> str:
    """The name that follows from the logical name of the network alone."""
    return "pod" + hashlib.sha256(network.encode()).hexdigest()[:11]


def is_ordinal(interface: str) -> bool:
    """A name of the scheme of old launcher pods: net1, net2, ..."""
    return bool(_ORDINAL.match(interface))


def has_ordinal_names(entries: list[Json]) -> bool:
    """Whether the pod of this network-status uses ordinal names: one entry decides for all networks."""
    return any(is_ordinal(entry.get("interface") or "") for entry in entries)


def secondary_names(networks: list[Json], entries: list[Json]) -> dict[str, str]:
    """The pod interface of each secondary network, by the pod's scheme."""
    secondary = [network["name"] for network in networks if is_secondary(network)]
    if has_ordinal_names(entries):
        return {name: f"net{number}" for number, name in enumerate(secondary, start=1)}
    return {name: hashed_name(name) for name in secondary}


def reports_ordinal_names(networks: list[Json], rows: list[Json]) -> bool:
    """Whether unplug must wait (3.2): the first secondary network that has told its pod interface decides.

    Nothing told yet counts as ordinal.
    """
    told = {row.get("name"): row.get("podInterfaceName") for row in rows}
    secondary = [network["name"] for network in networks if is_secondary(network)]
    if not secondary:
        return False
    first = next((name for network in secondary if (name := told.get(network))), None)
    return first is None or is_ordinal(first)
