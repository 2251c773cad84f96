"""What KubeVirt's admission refuses of interfaces and networks together, for objects that were stored before it did.

No VM is started with it, and nobody is advised to restart one: it would not start again. A guest that runs goes on.
Pure. Source: KubeVirt 1.9, `pkg/network/admitter`; texts and paths are KubeVirt's. docs/admission.md has all rules.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass

from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.networks import Binding, Interface, Network, first_by_name
from nicplug.model.sentences import with_remedy
from nicplug.plan.nic.validation import masquerade_is_on_the_pod_network
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal

_PRIMARY_REMEDY = "Remove its interface and network, or make it a secondary Multus network"
_CLAIMS_GATE = "NetworkDevicesWithDRA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """What is refused.

    Attributes:
        nic: the NIC that is in the way.
        path: of the field, below the VMI spec.
        text: KubeVirt's.
        remedy: what admission accepts.
    """

    nic: str
    path: str
    text: str
    remedy: str

    def at(self, root: str) -> str:
        """The sentence as the webhook and the policies have it."""
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
    """Everything of the spec that is refused as a whole.

    Args:
        config: the KubeVirt CR; None when there is none, which forbids nothing.
        held: NICs of the running guest: of several primary ones, the first of these may stay.
    """
    spec = _Spec(interfaces=interfaces, networks=networks, config=config, held=held)
    for rule in _RULES:
        yield from rule(spec)


def refuse_whole(
    interfaces: Sequence[Interface], networks: Sequence[Network], *, config: KubevirtConfig | None, root: str
) -> Refusal | None:
    """Why nothing is started with these lists, in KubeVirt's words and with what to do; None when it may be.

    Args:
        root: the path of the VMI spec in the object that a person edits.
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
