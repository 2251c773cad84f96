"""Is a NIC fit to reach a pod? One check, one reason, one remedy.

A failed ADD for an existing name deletes the pod's real interface, and one bad element blocks
those behind it (docs/node-simulator.md): what is wrong must be caught before the annotation is written.
"""

import re
from collections.abc import Callable

from nicplug.model.networks import Interface, Network
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal

# KubeVirt's admission rule for interface names; the length is that of a Kubernetes label.
_NAME = re.compile(r"^[A-Za-z0-9_-]{1,63}$")
_MAC_ADDRESS = re.compile(r"^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$")
_SEGMENT = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_ATTACHMENT = re.compile(rf"^({_SEGMENT}/)?{_SEGMENT}$")

Check = Callable[[Interface, Network | None], Refusal | None]


def name_is_valid(interface: Interface, _network: Network | None) -> Refusal | None:
    """KubeVirt's admission rule, which a VMI written by others may never have passed."""
    if _NAME.fullmatch(interface.name):
        return None
    return Refusal(
        reason=Reason.INVALID_NAME,
        message=f'name "{interface.name[:80]}" is not valid: use 1 to 63 letters, digits, dashes or underscores',
    )


def network_exists(interface: Interface, network: Network | None) -> Refusal | None:
    """An interface is nothing without the network of its name."""
    if network is not None:
        return None
    return Refusal(
        reason=Reason.NO_NETWORK,
        message=f'spec.networks has no network named "{interface.name}": add it, or remove the interface',
    )


def attachment_is_valid(_interface: Interface, network: Network | None) -> Refusal | None:
    """A reference that is no Kubernetes name can never resolve."""
    if network is None or not network.is_secondary or _ATTACHMENT.fullmatch(network.attachment):
        return None
    return Refusal(
        reason=Reason.INVALID_ATTACHMENT_REFERENCE,
        message=f'multus.networkName "{network.attachment[:120]}" is not a name: '
        "write <name> or <namespace>/<name> of a network attachment definition",
    )


def mac_address_is_unicast(interface: Interface, _network: Network | None) -> Refusal | None:
    """A multicast source address is dropped by every bridge on the way."""
    mac = interface.mac_address
    if not mac:
        return None
    if _MAC_ADDRESS.fullmatch(mac) and not int(mac[1], 16) & 1:
        return None
    return Refusal(
        reason=Reason.INVALID_MAC_ADDRESS,
        message=f'macAddress "{mac[:40]}" is not a unicast address of six bytes: correct it, or leave it out',
    )


CHECKS: tuple[Check, ...] = (
    name_is_valid,
    network_exists,
    attachment_is_valid,
    mac_address_is_unicast,
)


def refuse(interface: Interface, network: Network | None) -> Refusal | None:
    """The first check that the NIC fails, or None when it may reach a pod."""
    return next((refusal for check in CHECKS if (refusal := check(interface, network))), None)
