"""Names of the interfaces inside a launcher pod.

Source: KubeVirt `pkg/network/namescheme`: hashed names since 1.0, ordinal ones on older pods.
"""

import hashlib
import re
from collections.abc import Iterable

PRIMARY_POD_INTERFACE = "eth0"
FIRST_ORDINAL_NAME = "net1"
_HASHED = re.compile(r"^pod[0-9a-f]{11}$")
_ORDINAL = re.compile(r"^net\d+$")
_HASH_DIGITS = 11


def hashed_interface_name(network_name: str) -> str:
    """`pod` and the first 11 hex digits of the SHA-256 of the logical network name.

    Not of the network attachment definition: two networks may use the same definition.
    """
    digest = hashlib.sha256(network_name.encode()).hexdigest()
    return f"pod{digest[:_HASH_DIGITS]}"


def plugin_interface_name(network_name: str) -> str:
    """The name asked for in the extra element of a network's binding plugin: `bind` and the same digits.

    KubeVirt leaves it out, and Multus then takes `net<i>`: that would make the pod's names look ordinal, and the
    dynamic networks controller serves no element behind one without a name (docs/node-simulator.md).
    """
    return f"bind{hashed_interface_name(network_name).removeprefix('pod')}"


def is_hashed_name(interface: str) -> bool:
    """The name can only come from the hashed scheme, so the element is nicplug's own."""
    return _HASHED.fullmatch(interface) is not None


def is_ordinal_name(interface: str) -> bool:
    """The name is `net<i>`: Multus's own choice, or the scheme of launcher pods before 1.0."""
    return _ORDINAL.fullmatch(interface) is not None


def pod_interface_names(*, secondary_networks: Iterable[str], ordinal: bool) -> dict[str, str]:
    """Logical network name -> pod interface name, for the secondary networks in spec order."""
    names = list(secondary_networks)
    if ordinal:
        return {name: f"net{index}" for index, name in enumerate(names, start=1)}
    return {name: hashed_interface_name(name) for name in names}
