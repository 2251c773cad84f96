"""Whether a network may and can be attached; checked before it is requested from a pod."""

from nicplug.model.attachments import Knowledge, KnownAttachments, attachment_key
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.networks import Binding, Network
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView

# Whether the cluster admin has enabled hot-plug: without that no NIC is plugged, and requests for NICs wait.

_GATE = '"HotplugNICs" to spec.configuration.developerConfiguration.featureGates of the KubeVirt CR'


def refuse_hotplug(config: KubevirtConfig | None, *, kubevirt_namespace: str) -> Refusal | None:
    """Return why no NIC is hot-plugged; None when the feature gate is on.

    Args:
        config: the KubeVirt CR in effect; None when there is none.
        kubevirt_namespace: where it is looked for.
    """
    if config is None:
        return Refusal(
            reason=Reason.KUBEVIRT_CR_MISSING,
            message=f'there is no KubeVirt CR in namespace "{kubevirt_namespace}" (setting NICPLUG_KUBEVIRT_NAMESPACE '
            "of the operator)",
            remedy=f"Create one there (kind KubeVirt), and add {_GATE}",
        )
    if config.hotplug_enabled:
        return None
    remedy = f"Add {_GATE}"
    if "HotplugNICs" in config.disabled_feature_gates:
        remedy = f'Remove "HotplugNICs" from its developerConfiguration.disabledFeatureGates, and add {_GATE}'
    message = f"hot-plug is off in KubeVirt CR {config.key}"
    return Refusal(reason=Reason.FEATURE_GATE_DISABLED, message=message, remedy=remedy)


# The dynamic networks controller attaches whatever the annotation asks for: nothing but this enforces the isolation
# of namespaces. An element of a network that does not exist fails, and holds up all elements behind it. Unknown is
# not missing: without knowledge the pod is asked, as KubeVirt does.

CREATE_DEFINITION = "Create it; the NIC is then plugged automatically"
CORRECT_NETWORK_NAME = "Or correct multus.networkName"
"""Remedy for a network that does not exist, whether the NIC is new or its network was changed."""


def refuse_attachment(network: Network, *, namespace: str, known: KnownAttachments) -> Refusal | None:
    """Return why a VMI in `namespace` cannot attach the network now; None if it can, or nothing is known."""
    key = attachment_key(network, namespace=namespace)
    if known.knowledge is Knowledge.NOT_INSTALLED:
        return Refusal(
            reason=Reason.MULTUS_NOT_INSTALLED,
            message=f"network attachment definition {key} cannot exist, as Multus is not installed: the CRD "
            "network-attachment-definitions.k8s.cni.cncf.io is missing",
            remedy="Ask the cluster admin to install Multus",
        )
    if forbidden := refuse_use(network, namespace=namespace, known=known):
        return forbidden
    if known.is_missing(key):
        return Refusal(
            reason=Reason.ATTACHMENT_DEFINITION_MISSING,
            message=f"network attachment definition {key} does not exist",
            remedy=f"{CREATE_DEFINITION}. {CORRECT_NETWORK_NAME}",
        )
    definition = known.definitions.get(key)
    if definition is not None and definition.problem:
        return Refusal(
            reason=Reason.ATTACHMENT_DEFINITION_INVALID,
            message=f"spec.config of network attachment definition {key} can attach nothing ({definition.problem})",
            remedy="Correct it; the NIC is then plugged automatically",
        )
    return None


def refuse_use(network: Network, *, namespace: str, known: KnownAttachments) -> Refusal | None:
    """Return why the cluster's policy forbids a VMI in `namespace` to use the network, whether it exists or not."""
    key = attachment_key(network, namespace=namespace)
    if known.access.allows(key, namespace=namespace):
        return None
    return Refusal(
        reason=Reason.NETWORK_NOT_ALLOWED,
        message=known.access.refusal(key, namespace=namespace),
        remedy="Use one of these, or ask the cluster admin",
    )


def refuse_detachment(network: Network, *, namespace: str, known: KnownAttachments) -> Refusal | None:
    """Return why a pod cannot detach the network now; None for one that the VMI may no longer use."""
    if refuse_use(network, namespace=namespace, known=known) is not None:
        return None
    return refuse_attachment(network, namespace=namespace, known=known)


# Why an attachable network is not requested from a pod.

LARGEST_ANNOTATION = 100 * 1024
"""Bytes. All annotations of a pod share 256 KiB; network-status, with as many entries, needs its part of it."""
ANNOTATION_IS_FULL = Refusal(
    reason=Reason.ANNOTATION_TOO_LARGE,
    message=f"the networks annotation of a pod holds {LARGEST_ANNOTATION // 1024} KiB, and the NICs before "
    "this one fill it",
    remedy="Use fewer NICs",
)


def name_is_taken(interface: str, *, pod: LauncherPod) -> Refusal:
    """Refuse a NIC whose interface name is taken in the pod by another network."""
    return Refusal(
        reason=Reason.POD_INTERFACE_NAME_TAKEN,
        message=f"pod {pod.key.name} has an interface {interface} already, of network "
        f"{pod.network_status.network_of(interface)}, which nobody asked nicplug for",
        remedy="Remove it, or restart the VM",
    )


def contested(attachment: str, *, interface: str, pod: LauncherPod) -> Refusal:
    """Refuse a NIC whose interface name another writer uses for another network in the annotation."""
    return Refusal(
        reason=Reason.ANNOTATION_CONTESTED,
        message=f"somebody else asks pod {pod.key.name} for network {attachment} as {interface}, which is this NIC's "
        "pod interface",
        remedy="Take that element out of the annotation k8s.v1.cni.cncf.io/networks",
    )


def unattachable_networks(vmi: VirtualMachineInstance, known: KnownAttachments) -> frozenset[str]:
    """Secondary networks of the VMI that cannot be attached to any pod now."""
    networks = (item for item in vmi.networks if item.is_secondary)
    namespace = vmi.key.namespace
    return frozenset(item.name for item in networks if refuse_attachment(item, namespace=namespace, known=known))


def networks_to_plug_later(view: VmiView) -> frozenset[str]:
    """Networks that a new pod is created without, because it could not start with them; plugged when they can be.

    Only if they can be plugged later: with hot-plug off, or a binding that cannot be plugged, the pod waits for them as
    KubeVirt's does. Without Multus nothing reads the annotation, and nothing is left out.
    """
    if view.attachments.knowledge is not Knowledge.COMPLETE:
        return frozenset()
    return unattachable_networks(view.vmi, view.attachments) & _pluggable(view)


def networks_to_allow_later(view: VmiView) -> frozenset[str]:
    """Networks that a new pod is created without, because the VM may not use them; plugged when it may.

    Only if they can be plugged later: else the VM does not start (`plan.vmi.new_pod_networks.refuse_networks`).
    """
    namespace, known = view.vmi.key.namespace, view.attachments
    return _pluggable(view) & frozenset(
        item.name
        for item in view.vmi.networks
        if item.is_secondary and refuse_use(item, namespace=namespace, known=known) is not None
    )


def _pluggable(view: VmiView) -> frozenset[str]:
    """NICs of the VMI that can be plugged when the guest runs, and need no device of the new pod."""
    if not view.hotplug_enabled:
        return frozenset()
    return frozenset(item.name for item in view.vmi.interfaces if item.binding is Binding.BRIDGE and not item.is_absent)
