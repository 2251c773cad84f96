"""Observed state of NICs: in the pod, in the rows of the status, in a migration that is in progress."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from nicplug.model.attachments import KnownAttachments
from nicplug.model.interface_status import (
    DOMAIN,
    MULTUS_STATUS,
    InterfaceRow,
    Row,
    Rows,
    add_source,
    has_go_ahead,
    has_source,
    pod_interface_of,
    remove_source,
)
from nicplug.model.keys import AttachmentKey
from nicplug.model.metadata import are_equal_sets, text
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.networks import Network, secondary_names, split_attachment
from nicplug.model.networks_annotation import (
    FIRST_ORDINAL_NAME,
    Element,
    UnreadableAnnotation,
    is_hashed_name,
    is_ordinal_name,
    parse_annotation,
    pod_interface_names,
)
from nicplug.model.operations import OperationType
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.attachments import refuse_use

# An unfinished migration of the VMI, as its NICs see it: which it plugs, and which have to wait for its end.


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationInProgress:
    """A migration in progress.

    Attributes:
        name: name of the migration.
        is_own: nicplug created it for this very VMI.
        waits_for: its reported obstacle; "" if it reports none.
        next_try: until when it waits, after failed or many migrations; None if it need not. The time may be past.
        is_stuck: it waits for a user or admin.
        remedy: what they can do; "" if it may continue without help.
        foreign_phase: a phase that nicplug does not handle; "" otherwise.
        has_target: its target pod was created, from the spec as it was then.
        is_renewable: that pod is replaced if it lacks a NIC.
        target: name of that pod; "" while it is not visible.
        made_for: the NICs that it was created for; None for one of a user, which plugs all.
        networks: the networks of that pod: NIC name -> `<namespace>/<definition>`; None while it is not visible.
    """

    name: str
    is_own: bool
    waits_for: str = ""
    next_try: datetime | None = None
    is_stuck: bool = False
    remedy: str = ""
    foreign_phase: str = ""
    has_target: bool = False
    is_renewable: bool = False
    target: str = ""
    made_for: frozenset[str] | None = None
    networks: Mapping[str, str] | None = None

    @property
    def leaves_pod(self) -> bool:
        """True if nothing more is requested from the pod that runs the guest."""
        return self.has_target and not self.is_renewable

    def takes(self, name: str) -> bool:
        """True if its target pod is created with a NIC even if that has to be retried alone."""
        return self.made_for is None or name in self.made_for

    def brings(self, operation: OperationType, *, name: str, network: str, unless_seen: bool = True) -> bool:
        """True if the guest will have the requested network after the migration.

        Args:
            network: the requested `<namespace>/<definition>`.
            unless_seen: the result while the target pod is not visible.
        """
        if self.networks is None:
            return unless_seen
        if operation is OperationType.UNPLUG:
            return name not in self.networks
        return self.networks.get(name) == network


# The interfaces of a pod.


def has_lost_interface(row: InterfaceRow | None, *, pod: LauncherPod) -> bool:
    """True if a ready pod has lost the interface of a NIC in the guest; a missing network-status is no evidence.

    Nor is one with an entry without an interface name: it may be this one.
    """
    interface, status = pod_interface_of(row), pod.network_status
    if not interface or not pod.is_ready or status.problem or not has_source(row, DOMAIN):
        return False
    return not status.has(interface) and not status.has("")


@once_per_pass
def interface_names(vmi: VirtualMachineInstance, pod: LauncherPod | None) -> Mapping[str, str]:
    """Pod interface name of each secondary network, by the scheme that the pod uses."""
    ordinal = pod is not None and _has_ordinal_names(vmi, pod)
    return pod_interface_names(secondary_networks=secondary_names(vmi.networks), ordinal=ordinal)


@once_per_pass
def new_pod_names(vmi: VirtualMachineInstance, pod: LauncherPod) -> Mapping[str, str]:
    """Pod interface name of each secondary network in a target pod, which may have no network-status yet.

    virt-controller keeps the ordinal names of the source pod up to 1.8, and in 1.9 without the feature gate
    `PodSecondaryInterfaceNamingUpgrade`. Source: KubeVirt `pkg/network/pod/annotations/generator.go`.
    """
    asked = elements_asked_for(pod)
    ordinal = not pod.made_with and any(map(is_ordinal_name, asked)) and not any(map(is_hashed_name, asked))
    return pod_interface_names(secondary_networks=secondary_names(vmi.networks), ordinal=ordinal)


def _has_ordinal_names(vmi: VirtualMachineInstance, pod: LauncherPod) -> bool:
    """True for a pod of KubeVirt before 1.0, whose networks are `net1`, `net2`, ... in the order of the spec.

    A `net1` alone proves nothing: Multus gives this name to any element without one. What counts is that the guest has
    a NIC with such a name, or that the annotation requests the VMI's first network as `net1`.
    """
    if pod.made_with:
        return False  # nicplug's own, which always has hashed names
    rows = vmi.status.interfaces
    reported = [rows[name] for name in secondary_names(vmi.networks) if name in rows]
    if pod.network_status.problem:
        return is_ordinal_name(next((row.pod_interface for row in reported if row.pod_interface), ""))
    if not pod.network_status.is_ordinal:
        return False
    if any(has_source(row, DOMAIN) and is_ordinal_name(row.pod_interface) for row in reported):
        return True
    first = next((network for network in vmi.networks if network.is_secondary), None)
    asked = networks_asked_for(pod, namespace=vmi.key.namespace).get(FIRST_ORDINAL_NAME)
    return first is not None and asked == first.reference(namespace=vmi.key.namespace)


def belongs_to_another(
    pod_interface: str,
    *,
    network: Network,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    access: AttachmentAccess,
) -> bool:
    """True if the pod's interface with a NIC's name is of another network, and was not requested by nicplug.

    It is never plugged into the guest, whoever created or reported it. Only elements with hashed names are nicplug's,
    and never one of a network that the VM may not use.
    """
    namespace, present = vmi.key.namespace, pod.network_status.network_of(pod_interface)
    own, asked = network.reference(namespace=namespace), networks_asked_for(pod, namespace=namespace)
    if present == own:
        return False
    if not is_hashed_name(pod_interface) or pod_interface not in asked:
        return True
    if not present:  # an entry without a network does not contradict the request
        return asked[pod_interface] != own
    return not access.allows(AttachmentKey(*split_attachment(present, namespace=namespace)), namespace=namespace)


def nics_in_pod(
    vmi: VirtualMachineInstance, pod: LauncherPod | None, *, asked: frozenset[str] | None
) -> frozenset[str]:
    """The NICs that the pod has, or that are requested from it.

    Args:
        asked: the requested ones; None to read them from its annotation.
    """
    if pod is None or pod.is_finished:
        return frozenset()
    names = interface_names(vmi, pod)
    if asked is None:
        interfaces = networks_asked_for(pod, namespace=vmi.key.namespace)
        asked = frozenset(name for name, item in names.items() if item in interfaces)
    return asked | {name for name, item in names.items() if pod.network_status.has(item)}


@once_per_pass
def networks_asked_for(pod: LauncherPod, *, namespace: str) -> Mapping[str, str]:
    """The networks that the pod's annotation requests: pod interface -> `<namespace>/<definition>`.

    Empty if it cannot be read.
    """
    return {
        interface: f"{text(item.get('namespace')) or namespace}/{text(item.get('name'))}"
        for interface, item in elements_asked_for(pod).items()
    }


@once_per_pass
def elements_asked_for(pod: LauncherPod) -> Mapping[str, Element]:
    """The elements of the pod's annotation by pod interface; nothing if it cannot be read."""
    try:
        return {text(item.get("interface")): item for item in parse_annotation(pod.networks_annotation)}
    except UnreadableAnnotation:
        return {}


# Rows of `status.interfaces` that follow from a pod's network-status.
#
# Source: KubeVirt 1.9 `pkg/network/controllers/vmi.go`: the primary first, then the secondary networks in spec order,
# then rows of others. `multus-status` in a row is the go-ahead for the node agent; nothing else is.

# The limit of KubeVirt's guest agent poller.
MAXIMUM_GUEST_ROWS = 10
_NOTHING_KNOWN = KnownAttachments()


def plan_rows(
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    known: KnownAttachments = _NOTHING_KNOWN,
    superseded: Collection[str] = (),
    left_behind: Collection[str] = (),
) -> list[Row]:
    """Return the desired rows; the old list itself if only the order differs.

    Args:
        known: network attachment definitions, to recognise networks that the VM may not use.
        superseded: NICs whose pod interface is of an earlier spec.
        left_behind: NICs that the handed-over target pod lacks; none of them is plugged now.
    """
    rows, old = vmi.status.interface_rows, vmi.status.interfaces
    names = interface_names(vmi, pod)
    networks = {network.name: network for network in vmi.networks}
    primary = next((network.name for network in vmi.networks if network.is_primary), None)
    wanted = [_primary(primary, pod, old)] if primary is not None else []
    for name, pod_interface in names.items():
        row = _secondary(
            name,
            pod_interface,
            pod=pod,
            old=old.get(name),
            is_given=name not in superseded
            and (name not in left_behind or has_go_ahead(old.get(name)))
            and _is_given(pod_interface, networks[name], old.get(name), vmi=vmi, pod=pod, known=known),
        )
        wanted += [row] if row is not None else []
    # Rows of networks of other kinds, and of interfaces that the guest created.
    wanted += [dict(row.raw) for name, row in old.items() if name != primary and name not in names]
    nameless = [dict(row) for row in rows if not text(row.get("name"))]
    wanted += nameless[:MAXIMUM_GUEST_ROWS]
    # The node agent orders them differently (kubevirt#14442).
    return [dict(row) for row in rows] if are_equal_sets(rows, wanted) else wanted


def _primary(name: str, pod: LauncherPod, old: Rows) -> Row:
    row = dict(old[name].raw) if name in old else {"name": name}
    if pod.network_status.problem and row.get("podInterfaceName"):
        return row
    return {**row, "podInterfaceName": pod.network_status.primary_interface}


def _is_given(
    pod_interface: str,
    network: Network,
    old: InterfaceRow | None,
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    known: KnownAttachments,
) -> bool:
    """True if the pod has the NIC's interface; a NIC that the guest already has is not withdrawn."""
    if not pod.network_status.has(pod_interface):
        return False
    if has_source(old, DOMAIN):
        return True
    if belongs_to_another(pod_interface, network=network, vmi=vmi, pod=pod, access=known.access):
        return False
    # A go-ahead that the node agent has not acted on is withdrawn when the policy no longer allows the network.
    return refuse_use(network, namespace=vmi.key.namespace, known=known) is None


def _secondary(
    name: str, pod_interface: str, *, pod: LauncherPod, old: InterfaceRow | None, is_given: bool
) -> Row | None:
    if pod.network_status.problem:
        # Without network-status the known state stays, and nothing is added to it.
        return dict(old.raw) if old is not None else None
    if old is None:
        return {"name": name, "infoSource": MULTUS_STATUS, "podInterfaceName": pod_interface} if is_given else None
    row = add_source(old.raw, MULTUS_STATUS) if is_given else remove_source(old.raw, MULTUS_STATUS)
    return {**row, "podInterfaceName": pod_interface}


# Stray interfaces: those of a launcher pod that nicplug once requested, and that belong to no NIC of the VMI any more.
#
# Two leaders can cause one: the second requests a NIC that the first has just withdrawn, as no guard spans pod and
# VMI. Or a user deletes the entries of a NIC that its pod has and the guest does not. The element is removed from the
# pod's networks annotation at once (`plan.nic.annotation`). A dynamic networks controller that then fails to detach
# the interface falls silent until the text changes, so the removal is retried as for any NIC. The record has the name
# of the pod interface, as a NIC's name cannot be derived from its hash.
#
# Network-status is a claim. Only hashed names are nicplug's own, and only on networks that the VM may use. Interfaces
# with another name or network belong to others, and are left alone.

# Whoever may write network-status could fill the VMI's status with records. Others follow when these are gone.
_MOST = 8


@once_per_pass
def stray_interfaces(vmi: VirtualMachineInstance, pod: LauncherPod, *, access: AttachmentAccess) -> tuple[str, ...]:
    """Names of the stray interfaces, whether or not still requested; none while network-status is missing.

    Args:
        access: recognises networks that the VM may not use.
    """
    listed = [item for item in pod.network_status.entries if not item.is_default and is_hashed_name(item.interface)]
    wanted = set(interface_names(vmi, pod).values())
    if all(item.interface in wanted for item in listed):
        return ()
    # An interface of the guest is no stray.
    wanted |= {row.pod_interface for row in vmi.status.interfaces.values() if has_source(row, DOMAIN)}
    # Records are found by name: that of a NIC with the same name must not be mistaken for an interface's.
    wanted |= {item.name for item in vmi.interfaces} | {item.name for item in vmi.networks}
    namespace = vmi.key.namespace
    found = dict.fromkeys(
        item.interface
        for item in listed
        if item.interface not in wanted
        and item.network
        and access.allows(AttachmentKey(*split_attachment(item.network, namespace=namespace)), namespace=namespace)
    )
    return tuple(found)[:_MOST]


def is_of_stray_interface(name: str, vmi: VirtualMachineInstance) -> bool:
    """True if the record of that name is of a pod interface, not of a NIC of the VMI."""
    return is_hashed_name(name) and all(item.name != name for item in vmi.interfaces)
