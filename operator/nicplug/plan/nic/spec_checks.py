"""Checks of a NIC before it is requested from a pod: one check, one reason, one remedy."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nicplug.elided import said
from nicplug.model.frozen_json import read
from nicplug.model.interface_status import Rows, has_go_ahead
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.networks import Binding, Interface, Network, first_by_name, normalised_mac
from nicplug.model.operations import shortened, with_remedy
from nicplug.model.per_pass import once_per_pass
from nicplug.plan.checks import first_result
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal

# A failed ADD for an existing name deletes the pod's real interface, and one bad element blocks those behind it
# (docs/node-simulator.md): errors must be caught before the annotation is written.

# KubeVirt's admission rule for interface names; longer ones are not stored (docs/adr/0018).
_NAME = re.compile(r"^[A-Za-z0-9_-]{1,128}$")
_MAC_ADDRESS = re.compile(r"^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$")
_SEGMENT = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_ATTACHMENT = re.compile(rf"^({_SEGMENT}/)?{_SEGMENT}$")

_MODELS = ("virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139")
_PCI_ADDRESS = re.compile(r"^[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$")
_LARGEST_ACPI_INDEX = 16_383

_CORRECT = "Correct it, or leave it out"
_NO_MAC_ADDRESS = "00:00:00:00:00:00"
# The MAC address of KubeVirt's bridge in the pod, to which a masquerade NIC is connected.
_MASQUERADE_BRIDGE_MAC_ADDRESS = "02:00:00:00:00:00"

Siblings = Sequence[Interface]
"""The NICs of the VM in the order of `in_precedence`."""

Check = Callable[[Interface, Network | None], Refusal | None]


def in_precedence(interfaces: Iterable[Interface], networks: Iterable[Network], rows: Rows) -> tuple[Interface, ...]:
    """Order of precedence when two NICs conflict: the primary NIC, then those that guest or pod has, then the rest.

    Args:
        rows: `status.interfaces` by name; none for a VM that has not been started.
    """
    primary = {network.name for network in networks if network.is_primary}

    def rank(interface: Interface) -> tuple[bool, bool]:
        return interface.name not in primary, not has_go_ahead(rows.get(interface.name))

    return tuple(sorted(interfaces, key=rank))


def name_is_valid(interface: Interface, _network: Network | None) -> Refusal | None:
    """Check the name by KubeVirt's admission rule, which a VMI written by others may never have passed."""
    if _NAME.fullmatch(interface.name):
        return None
    return Refusal(
        reason=Reason.INVALID_NAME,
        message=f'name "{shortened(interface.name)}" is not valid',
        remedy="Use 1 to 128 letters, digits, dashes or underscores",
    )


def interface_is_read(interface: Interface, _network: Network | None) -> Refusal | None:
    """Check for overlong values, which nicplug does not store (docs/adr/0018); KubeVirt accepts none of them."""
    if not interface.is_unread:
        return None
    return Refusal(
        reason=Reason.INVALID_INTERFACE,
        message="a value of the interface is too long, or there are too many: state, macAddress, model, pciAddress, "
        "acpiIndex and bootOrder have at most 30 characters",
        remedy=_CORRECT,
    )


def network_exists(interface: Interface, network: Network | None) -> Refusal | None:
    """Check that the interface has a network of its name."""
    if network is not None:
        return None
    return Refusal(
        reason=Reason.NO_NETWORK,
        message=f'spec.networks has no network named "{interface.name}"',
        remedy="Add it, or remove the interface",
    )


def network_has_a_kind(_interface: Interface, network: Network | None) -> Refusal | None:
    """Check that the network has a type and a reference; otherwise the NIC is connected to nothing."""
    if network is None or network.is_primary or network.is_secondary or network.is_claimed:
        return None
    return Refusal(
        reason=Reason.INVALID_ATTACHMENT_REFERENCE,
        message=f'network "{shortened(network.name)}" of spec.networks names nothing to connect to',
        remedy="Give it multus.networkName, or remove network and interface",
    )


def attachment_is_valid(_interface: Interface, network: Network | None) -> Refusal | None:
    """Check that the reference is a Kubernetes name; no other one can be resolved.

    Multus could resolve it to something else: from JSON, `@` and commas it parses any other part of an element.
    """
    is_reference = network is not None and (network.is_secondary or network.is_default)
    if network is None or not is_reference or _ATTACHMENT.fullmatch(network.attachment):
        return None
    return Refusal(
        reason=Reason.INVALID_ATTACHMENT_REFERENCE,
        message=f'multus.networkName "{shortened(network.attachment, longest=120)}" is not a name',
        remedy="Write <name> or <namespace>/<name> of a network attachment definition",
    )


def binding_is_single(interface: Interface, _network: Network | None) -> Refusal | None:
    """Check for one binding, by KubeVirt's admission rule: with two, it is unknown which one was meant.

    A NIC without a binding can only come with a restart.
    """
    bindings = interface.bindings
    if len(bindings) < 2:
        return None
    return Refusal(
        reason=Reason.INVALID_INTERFACE,
        message=f"the interface has {len(bindings)} bindings ({', '.join(bindings)}), and may have one",
        remedy="Remove all but one",
    )


def hardware_is_known(interface: Interface, _network: Network | None) -> Refusal | None:
    """Check model and address: an unknown one would wait for the node agent indefinitely."""
    raw = read(interface.raw)
    model, address, index = said(raw.get("model")), said(raw.get("pciAddress")), raw.get("acpiIndex") or 0
    if model and model not in _MODELS:
        wrong = f'model "{shortened(model, longest=40)}" is not supported'
        remedy = f"Use {', '.join(_MODELS[:-1])} or {_MODELS[-1]}, or leave it out"
    elif address and not _PCI_ADDRESS.fullmatch(address):
        wrong = f'pciAddress "{shortened(address, longest=40)}" is not a PCI address'
        remedy = "Write one such as 0000:81:00.1, or leave it out"
    elif not isinstance(index, int) or not 0 <= index <= _LARGEST_ACPI_INDEX:
        wrong = f"acpiIndex {shortened(str(index), longest=40)} is not a number from 1 to {_LARGEST_ACPI_INDEX}"
        remedy = _CORRECT
    else:
        return None
    return Refusal(reason=Reason.INVALID_INTERFACE, message=wrong, remedy=remedy)


def mac_address_is_unicast(interface: Interface, _network: Network | None) -> Refusal | None:
    """Check that the MAC address is unicast: bridges drop multicast source addresses, and zeros are no address."""
    mac = interface.mac_address
    if not mac or (_MAC_ADDRESS.fullmatch(mac) and not int(mac[1], 16) & 1 and normalised_mac(mac) != _NO_MAC_ADDRESS):
        return None
    return Refusal(
        reason=Reason.INVALID_MAC_ADDRESS,
        message=f'macAddress "{shortened(mac, longest=40)}" is not a unicast address of six bytes',
        remedy=_CORRECT,
    )


def mac_address_is_free(interface: Interface, _network: Network | None) -> Refusal | None:
    """Reject the MAC address of KubeVirt's masquerade bridge, by its admission rule; the message is KubeVirt's."""
    is_reserved = normalised_mac(interface.mac_address) == _MASQUERADE_BRIDGE_MAC_ADDRESS
    if interface.binding is not Binding.MASQUERADE or not is_reserved:
        return None
    return Refusal(
        reason=Reason.INVALID_MAC_ADDRESS,
        message=f'macAddress "{interface.mac_address}": The requested MAC address is reserved for the in-pod bridge',
        remedy="Please choose another one.",
    )


def masquerade_is_on_the_pod_network(interface: Interface, network: Network | None) -> Refusal | None:
    """Check masquerade by KubeVirt's admission rule: only on the pod network does the pod have an address to share."""
    if interface.binding is not Binding.MASQUERADE or network is None or network.is_pod:
        return None
    return Refusal(
        reason=Reason.INVALID_INTERFACE,
        message="Masquerade interface only implemented with pod network",
        remedy="Use bridge, or the pod network",
    )


def mac_address_twin(interface: Interface, siblings: Siblings) -> Interface | None:
    """The preceding NIC with the same MAC address. KubeVirt's admission accepts that, so both are plugged."""
    mac = normalised_mac(interface.mac_address)
    if not mac or (first := _first_by_mac_address(siblings).get(mac)) is None:
        return None
    position, twin = first
    return twin if position < _first_positions(siblings).get(interface.name, len(siblings)) else None


@once_per_pass
def _first_by_mac_address(siblings: Siblings) -> Mapping[str, tuple[int, Interface]]:
    """The first NIC with each address that is not absent, and its position."""
    numbered = [(index, item) for index, item in enumerate(siblings) if item.mac_address and not item.is_absent]
    return {normalised_mac(item.mac_address): (index, item) for index, item in reversed(numbered)}


@once_per_pass
def _first_positions(siblings: Siblings) -> Mapping[str, int]:
    return {item.name: index for index, item in reversed(list(enumerate(siblings)))}


CHECKS: tuple[Check, ...] = (
    name_is_valid,
    interface_is_read,
    network_exists,
    network_has_a_kind,
    attachment_is_valid,
    binding_is_single,
    hardware_is_known,
    mac_address_is_unicast,
    mac_address_is_free,
    masquerade_is_on_the_pod_network,
)


def refuse(interface: Interface, network: Network | None) -> Refusal | None:
    """Return the result of the first failed check, or None if the NIC may be requested from a pod."""
    return first_result(CHECKS, interface, network)


# KubeVirt's admission rules for interfaces and networks together, for objects that were stored before the rules.
#
# No VM is started with a violation, and no restart is advised: the VM would not start again. Running guests continue.
# Pure. Source: KubeVirt 1.9, `pkg/network/admitter`; texts and paths are KubeVirt's. docs/admission.md has all rules.

_PRIMARY_REMEDY = "Remove its interface and network, or make it a secondary Multus network"
_CLAIMS_GATE = "NetworkDevicesWithDRA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A violation of an admission rule.

    Attributes:
        nic: the NIC with the violation.
        path: path of the field, relative to the VMI spec.
        text: KubeVirt's message.
        remedy: what admission accepts.
    """

    nic: str
    path: str
    text: str
    remedy: str

    def at(self, root: str) -> str:
        """The message as the webhook and the policies word it."""
        return f"{root}{self.path}: {self.text.replace('{F}', root)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spec:
    interfaces: Sequence[Interface]
    networks: Sequence[Network]
    config: KubevirtConfig | None
    held: Container[str]


Rule = Callable[[_Spec], Iterator[Violation]]


def find_violations(
    interfaces: Sequence[Interface],
    networks: Sequence[Network],
    *,
    config: KubevirtConfig | None,
    held: Container[str] = frozenset(),
) -> Iterator[Violation]:
    """Find all violations in a spec.

    Args:
        config: the KubeVirt CR; None if there is none, which forbids nothing.
        held: NICs of the running guest: of several primary ones, the first of these may stay.
    """
    spec = _Spec(interfaces=interfaces, networks=networks, config=config, held=held)
    for rule in _RULES:
        yield from rule(spec)


def refuse_whole(
    interfaces: Sequence[Interface], networks: Sequence[Network], *, config: KubevirtConfig | None, root: str
) -> Refusal | None:
    """Return why nothing is started with these lists, in KubeVirt's words and with a remedy; None if it may be.

    Args:
        root: the path of the VMI spec in the object that users edit.
    """
    found = next(find_violations(interfaces, networks, config=config), None)
    if found is None:
        return None
    return Refusal(reason=Reason.FAILED_CREATE, message=with_remedy(found.at(root), found.remedy))


def _several_primaries(spec: _Spec) -> Iterator[Violation]:
    primaries = {network.name: network for network in spec.networks if network.is_primary}
    if len(primaries) < 2:
        return
    pods = sum(network.is_pod for network in primaries.values())
    if pods == len(primaries):
        path, text = ".interfaces", "more than one interface is connected to a pod network in {F}.interfaces"
    elif pods:
        path, text = ".networks", "Pod network cannot be defined when Multus default network is defined"
    else:
        path, text = ".networks", "Multus CNI should only have one default network"
    first = next((name for name in primaries if name in spec.held), next(iter(primaries)))
    for name in primaries:
        if name != first:
            yield Violation(nic=name, path=path, text=text, remedy=_PRIMARY_REMEDY)


def _masquerade(spec: _Spec) -> Iterator[Violation]:
    for index, interface, network in _pairs(spec):
        if (refusal := masquerade_is_on_the_pod_network(interface, network)) is not None:
            yield _of_interface(interface, index, refusal.message, refusal.remedy)


def _bridge_on_the_pod_network(spec: _Spec) -> Iterator[Violation]:
    if spec.config is None or spec.config.permits_pod_bridge:
        return
    for index, interface, network in _pairs(spec):
        if interface.binding is Binding.BRIDGE and network.is_pod:
            text = "Bridge on pod network configuration is not enabled under kubevirt-config"
            remedy = "Use masquerade, or ask the cluster admin for permitBridgeInterfaceOnPodNetwork in the KubeVirt CR"
            yield _of_interface(interface, index, text, remedy)


def _resource_claims(spec: _Spec) -> Iterator[Violation]:
    claimed = [network for network in spec.networks if network.is_claimed]
    if not claimed or spec.config is None:
        return
    if _CLAIMS_GATE not in spec.config.feature_gates:
        text = f"vmi.spec.networks contains DRA networks but {_CLAIMS_GATE} feature gate is not enabled"
        remedy = f"Use a Multus network, or ask the cluster admin to add {_CLAIMS_GATE} to the featureGates"
    elif any(network.attachment for network in spec.networks):
        text = "mixing Multus and DRA resourceClaim networks in the same VMI is not supported"
        remedy = "Use networks of one of the two kinds"
    else:
        return
    for network in claimed:
        yield Violation(nic=network.name, path=".networks", text=text, remedy=remedy)


def _pairs(spec: _Spec) -> Iterator[tuple[int, Interface, Network]]:
    networks = first_by_name(spec.networks)
    for index, interface in enumerate(spec.interfaces):
        if (network := networks.get(interface.name)) is not None:
            yield index, interface, network


def _of_interface(interface: Interface, index: int, text: str, remedy: str) -> Violation:
    return Violation(nic=interface.name, path=f".domain.devices.interfaces[{index}].name", text=text, remedy=remedy)


_RULES: tuple[Rule, ...] = (_several_primaries, _masquerade, _bridge_on_the_pod_network, _resource_claims)
