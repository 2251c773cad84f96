"""Annotations of a new launcher pod, by which Multus and a service mesh learn of its networks.

Pure. Source: KubeVirt 1.9 `pkg/network/pod/annotations/generator.go` and `pkg/network/multus/annotation.go`. NICs that
are absent, or that no pod may get, are left out. `plan.nic.annotation` decides what is requested from a running pod.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from nicplug.model.attachments import KnownAttachments, attachment_key, format_attached
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.names import (
    ATTACHED_ANNOTATION,
    DEFAULT_NETWORK_ANNOTATION,
    ISTIO_INTERFACE_ANNOTATIONS,
    NETWORKS_ANNOTATION,
)
from nicplug.model.networks import Binding, Interface, Network
from nicplug.model.networks_annotation import (
    Element,
    element_of,
    hashed_interface_name,
    plugin_element,
    plugin_interface_name,
    render_annotation,
)
from nicplug.model.operations import shortened
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.candidates import devices_of
from nicplug.plan.nic.attachments import refuse_attachment, refuse_use
from nicplug.plan.nic.spec_checks import attachment_is_valid, refuse
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal

_MASQUERADE_BRIDGE = "k6t-eth0"
_NOTHING_KNOWN = KnownAttachments()


def network_annotations(
    *,
    vmi: VirtualMachineInstance,
    config: KubevirtConfig | None,
    known: KnownAttachments = _NOTHING_KNOWN,
    left_out: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Return the annotations; an empty one is left out.

    Args:
        config: registers the binding plugins; None without a KubeVirt CR, then there are none.
        known: the network attachment definitions of the pod's networks.
        left_out: networks that cannot be attached now, and are plugged when they can be.
    """
    annotations: dict[str, str] = {}
    nics = [nic for nic in _nics_at_birth(vmi) if nic[1].name not in left_out]
    for _, network in nics:
        if network.is_default:
            # With its namespace: Multus looks up a bare name in its own namespace, not in the one that was checked.
            annotations[DEFAULT_NETWORK_ANNOTATION] = str(attachment_key(network, namespace=vmi.key.namespace))
    if any(interface.binding is Binding.MASQUERADE for interface, _ in nics):
        annotations |= dict.fromkeys(ISTIO_INTERFACE_ANNOTATIONS, _MASQUERADE_BRIDGE)
    if elements := elements_at_birth(vmi, config=config, left_out=left_out):
        annotations[NETWORKS_ANNOTATION] = render_annotation(elements)
    found = {network.name: known.definition_of(network, namespace=vmi.key.namespace) for _, network in nics}
    if attached := {name: item for name, item in found.items() if item is not None}:
        annotations[ATTACHED_ANNOTATION] = format_attached(attached)
    return annotations


def elements_at_birth(
    vmi: VirtualMachineInstance, *, config: KubevirtConfig | None, left_out: frozenset[str] = frozenset()
) -> list[Element]:
    """Elements of a new pod's networks annotation; arguments as in `network_annotations`."""
    return [
        element
        for interface, network in _nics_at_birth(vmi)
        if network.name not in left_out and refuse(interface, network) is None
        for element in _elements(interface, network, vmi=vmi, config=config)
    ]


def refuse_unregistered_plugin(*, vmi: VirtualMachineInstance, config: KubevirtConfig | None) -> Refusal | None:
    """Refuse an unregistered binding plugin: the pod could never start the guest. The message is KubeVirt's."""
    for interface, _ in _nics_at_birth(vmi):
        if interface.binding is Binding.PLUGIN and _plugin_of(interface, config) is None:
            message = (
                f"unable to find the network binding plugin '{shortened(interface.plugin)}' in Kubevirt configuration"
            )
            return Refusal(reason=Reason.FAILED_CREATE, message=message)
    return None


def refuse_networks(
    *, vmi: VirtualMachineInstance, known: KnownAttachments, left_out: frozenset[str] = frozenset()
) -> Refusal | None:
    """Refuse a forbidden network or an invalid default network: no VM starts silently on another one."""
    for interface, network in _nics_at_birth(vmi):
        if not (network.is_secondary or network.is_default) or network.name in left_out:
            continue
        if network.is_default and (invalid := attachment_is_valid(interface, network)):
            return _of_nic(invalid, interface)
        refusal = refuse_use(network, namespace=vmi.key.namespace, known=known)
        if refusal is None or (network.is_secondary and refuse(interface, network) is not None):
            continue  # invalid networks are never requested from a pod
        return _of_nic(refusal, interface)
    return None


def refuse_default_network(*, vmi: VirtualMachineInstance, known: KnownAttachments) -> Refusal | None:
    """Refuse an invalid default network: a pod gets it only on creation, and would get the cluster's instead."""
    for interface, network in _nics_at_birth(vmi):
        if not network.is_default:
            continue
        invalid = attachment_is_valid(interface, network)
        if refusal := invalid or refuse_attachment(network, namespace=vmi.key.namespace, known=known):
            return _of_nic(refusal, interface)
    return None


def _of_nic(refusal: Refusal, interface: Interface) -> Refusal:
    return replace(refusal, message=f'NIC "{shortened(interface.name)}": {refusal.sentence}', remedy="")


def refuse_unknown_device(*, vmi: VirtualMachineInstance, known: KnownAttachments) -> Refusal | None:
    """Refuse an SR-IOV network without a definition: the pod would never get the device. The message is KubeVirt's.

    A running pod can be given an interface, but not a device.
    """
    for interface, network in _nics_at_birth(vmi):
        if interface.binding is not Binding.SRIOV or not network.is_secondary:
            continue
        key = attachment_key(network, namespace=vmi.key.namespace)
        is_allowed = known.access.allows(key, namespace=vmi.key.namespace)
        if is_allowed and known.is_missing(key):
            message = f"failed to locate network attachment definition {key}: create it, and the VM starts by itself"
            return Refusal(reason=Reason.FAILED_CREATE, message=message)
    return None


def device_counts(
    vmi: VirtualMachineInstance, *, known: KnownAttachments, left_out: frozenset[str] = frozenset()
) -> dict[str, int]:
    """Count the extended resources that the pod's networks need, by the annotations of their definitions.

    Source: KubeVirt 1.9 `services/template.go`, the map of networks to resources. An unknown definition needs none.
    """
    networks = [
        network
        for interface, network in _nics_at_birth(vmi)
        if network.name not in left_out and refuse(interface, network) is None
    ]
    return dict(Counter(devices_of(networks, known, namespace=vmi.key.namespace)))


def _nics_at_birth(vmi: VirtualMachineInstance) -> Iterator[tuple[Interface, Network]]:
    """Return the NICs in the order of the interfaces, which is the order in the guest."""
    networks = {network.name: network for network in vmi.networks}
    for interface in vmi.interfaces:
        network = networks.get(interface.name)
        if network is not None and not interface.is_absent:
            yield interface, network


def _elements(
    interface: Interface, network: Network, *, vmi: VirtualMachineInstance, config: KubevirtConfig | None
) -> Iterator[Element]:
    """The network's own element, followed by its plugin's; for a primary network only the plugin's."""
    namespace = vmi.key.namespace
    if network.is_secondary:
        yield element_of(
            interface=interface,
            network=network,
            pod_interface=hashed_interface_name(network.name),
            namespace=namespace,
        )
    if attachment := _plugin_of(interface, config):
        yield plugin_element(
            attachment=attachment,
            namespace=namespace,
            network_name=network.name,
            pod_interface=plugin_interface_name(network.name),
        )


def _plugin_of(interface: Interface, config: KubevirtConfig | None) -> str | None:
    """The definition that its binding plugin needs, "" for none; None if no such plugin is registered."""
    if interface.binding is not Binding.PLUGIN or config is None:
        return None
    return config.binding_plugins.get(interface.plugin)
