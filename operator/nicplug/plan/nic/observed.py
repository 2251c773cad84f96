"""Observed state of NICs: in the pod, in the rows of the status, in a migration that is in progress."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.model.attachments import KnownAttachments
from nicplug.model.interface_status import (
    DOMAIN,
    MULTUS_STATUS,
    Row,
    add_source,
    has_go_ahead,
    has_source,
    remove_source,
    rows_by_name,
    same_rows,
)
from nicplug.model.keys import AttachmentKey
from nicplug.model.metadata import text
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
from nicplug.model.vmi import VirtualMachineInstance, reported_rows
from nicplug.plan.nic.attachments import refuse_use

# A migration of the VMI that has not ended, as its NICs see it: who comes with it, and who has to wait for its end.


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationInProgress:
    """One migration on its way.

    Attributes:
        name: of the migration.
        is_own: nicplug made it for this very VMI.
        waits_for: what it waits for, in its own words; "" when it says nothing.
        next_try: until when it keeps still, after others have failed or have been many; None when it need not. The
            moment may be past.
        is_stuck: it can do nothing about that.
        remedy: what a person can do about that; "" when it may go on by itself.
        foreign_phase: a phase that nobody here carries on; "" while it is in one of ours.
        has_target: its target pod was made, from the spec as it was then.
        is_renewable: another one takes the place of that pod for a NIC that it lacks.
        target: name of that pod; "" while it is not in sight.
        made_for: the NICs that it was made for; None for somebody else's, which brings what there is.
        networks: what that pod was made with: NIC name -> `<namespace>/<definition>`; None while it is not in sight.
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
        """Nothing more is asked of the pod that runs the guest."""
        return self.has_target and not self.is_renewable

    def takes(self, name: str) -> bool:
        """Its target pod has a NIC also if that has to be tried apart from others."""
        return self.made_for is None or name in self.made_for

    def brings(self, operation: OperationType, *, name: str, network: str, unless_seen: bool = True) -> bool:
        """The guest will be as asked for when it has arrived.

        Args:
            network: `<namespace>/<definition>` that the NIC is to be on.
            unless_seen: what to believe while the target pod is not in sight.
        """
        if self.networks is None:
            return unless_seen
        if operation is OperationType.UNPLUG:
            return name not in self.networks
        return self.networks.get(name) == network


# Which interfaces a pod has, by the best source that speaks.
#
# network-status, when it can be read. While it is silent, what the rows of `status.interfaces` said before: silence
# of one source is no news, and an interface must not be taken from under a guest for it.

Rows = Mapping[str, Mapping[str, Any]]
"""`status.interfaces` by name."""


@dataclass(frozen=True, slots=True)
class PodLinks:
    """The secondary interfaces of a pod."""

    pod: LauncherPod
    rows: Rows

    def has(self, name: str, pod_interface: str) -> bool:
        """The pod has the interface of that NIC."""
        if not self.pod.network_status.problem:
            return self.pod.network_status.has(pod_interface)
        row = self.rows.get(name)
        return has_source(row, MULTUS_STATUS) or has_source(row, DOMAIN)


def has_lost_interface(row: Mapping[str, Any] | None, *, pod: LauncherPod) -> bool:
    """A ready pod has no more the interface of a NIC that the guest has; silence of its status is no news.

    Nor is a status with an entry that names no interface: it may be this one.

    Args:
        row: of `status.interfaces`, as reported.
    """
    interface, status = text((row or {}).get("podInterfaceName")), pod.network_status
    if not interface or not pod.is_ready or status.problem or not has_source(row, DOMAIN):
        return False
    return not status.has(interface) and not status.has("")


@once_per_pass
def interface_names(vmi: VirtualMachineInstance, pod: LauncherPod | None, rows: Rows) -> Mapping[str, str]:
    """Pod interface name of each secondary network, by the scheme that the pod uses."""
    ordinal = pod is not None and _has_ordinal_names(vmi, pod, rows)
    return pod_interface_names(secondary_networks=secondary_names(vmi.networks), ordinal=ordinal)


def _has_ordinal_names(vmi: VirtualMachineInstance, pod: LauncherPod, rows: Rows) -> bool:
    """The pod is one of KubeVirt's before 1.0, whose networks are `net1`, `net2`, ... in the order of the spec.

    That it has a `net1` proves nothing: Multus calls any element so that somebody adds without a name. What counts is
    that the guest has a NIC by such a name, or that the annotation asks for the VMI's first network as `net1`.
    """
    if pod.made_with:
        return False  # nicplug's own, which is always made with hashed names
    reported = [rows.get(name, {}) for name in secondary_names(vmi.networks)]
    if pod.network_status.problem:
        names = (text(row.get("podInterfaceName")) for row in reported)
        return is_ordinal_name(next((name for name in names if name), ""))
    if not pod.network_status.is_ordinal:
        return False
    if any(has_source(row, DOMAIN) and is_ordinal_name(text(row.get("podInterfaceName"))) for row in reported):
        return True
    first = next((network for network in vmi.networks if network.is_secondary), None)
    asked = networks_asked_for(pod, namespace=vmi.key.namespace).get(FIRST_ORDINAL_NAME)
    return first is not None and asked == _reference(first, vmi)


def belongs_to_another(
    pod_interface: str,
    *,
    network: Network,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    access: AttachmentAccess,
) -> bool:
    """The pod has an interface of a NIC's name that is of another network, and that nicplug did not ask for.

    No guest is given it, no matter who made it or says that it is there. Only elements of hashed names are nicplug's,
    and never one of a network that the VM may not use.
    """
    namespace, present = vmi.key.namespace, pod.network_status.network_of(pod_interface)
    own, asked = _reference(network, vmi), networks_asked_for(pod, namespace=namespace)
    if present == own:
        return False
    if not is_hashed_name(pod_interface) or pod_interface not in asked:
        return True
    if not present:  # an entry that names no network says nothing against what was asked for
        return asked[pod_interface] != own
    return not access.allows(AttachmentKey(*split_attachment(present, namespace=namespace)), namespace=namespace)


def _reference(network: Network, vmi: VirtualMachineInstance) -> str:
    return "/".join(network.attachment_reference(namespace=vmi.key.namespace))


def nics_in_pod(
    vmi: VirtualMachineInstance, pod: LauncherPod | None, *, asked: frozenset[str] | None
) -> frozenset[str]:
    """The NICs that the pod has or is asked for.

    Args:
        asked: those that it is asked for; None: as its annotation says.
    """
    if pod is None or pod.is_finished:
        return frozenset()
    names = interface_names(vmi, pod, reported_rows(vmi))
    if asked is None:
        interfaces = networks_asked_for(pod, namespace=vmi.key.namespace)
        asked = frozenset(name for name, item in names.items() if item in interfaces)
    return asked | {name for name, item in names.items() if pod.network_status.has(item)}


@once_per_pass
def networks_asked_for(pod: LauncherPod, *, namespace: str) -> Mapping[str, str]:
    """The networks that the pod's annotation asks for: pod interface -> `<namespace>/<definition>`.

    Empty if it cannot be read.

    Args:
        namespace: of the pod.
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

# KubeVirt's guest agent poller reports no more either.
MAXIMUM_GUEST_ROWS = 10
_NOTHING_KNOWN = KnownAttachments()


def plan_rows(
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    rows: Sequence[Mapping[str, Any]],
    known: KnownAttachments = _NOTHING_KNOWN,
    superseded: Collection[str] = (),
    left_behind: Collection[str] = (),
) -> list[Row]:
    """The rows as they shall be; the old list itself when nothing but the order differs.

    Args:
        known: by which a network that the VM may not use is recognised.
        superseded: NICs whose pod interface is not what the spec asks for.
        left_behind: NICs that the pod lacks to which the VM is handed over; none of them is given now.
    """
    old = rows_by_name(rows)
    names = interface_names(vmi, pod, old)
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
    # Those of networks of other kinds, and those that the guest made.
    wanted += [dict(row) for name, row in old.items() if name != primary and name not in names]
    nameless = [dict(row) for row in rows if not text(row.get("name"))]
    wanted += nameless[:MAXIMUM_GUEST_ROWS]
    return [dict(row) for row in rows] if same_rows(rows, wanted) else wanted


def _primary(name: str, pod: LauncherPod, old: Mapping[str, Mapping[str, Any]]) -> Row:
    row = dict(old.get(name, {"name": name}))
    if pod.network_status.problem and row.get("podInterfaceName"):
        return row
    return {**row, "podInterfaceName": pod.network_status.primary_interface}


def _is_given(
    pod_interface: str,
    network: Network,
    old: Mapping[str, Any] | None,
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    known: KnownAttachments,
) -> bool:
    """The pod has the interface, and it is the NIC's: what the guest has already is not taken from it."""
    if not pod.network_status.has(pod_interface):
        return False
    if has_source(old, DOMAIN):
        return True
    if belongs_to_another(pod_interface, network=network, vmi=vmi, pod=pod, access=known.access):
        return False
    # A go-ahead that the guest has not followed yet is withdrawn when the policy no longer allows the network.
    return refuse_use(network, namespace=vmi.key.namespace, known=known) is None


def _secondary(
    name: str, pod_interface: str, *, pod: LauncherPod, old: Mapping[str, Any] | None, is_given: bool
) -> Row | None:
    if pod.network_status.problem:
        # Silence is no news: what was known stays, and nothing is added to it.
        return dict(old) if old is not None else None
    if old is None:
        return {"name": name, "infoSource": MULTUS_STATUS, "podInterfaceName": pod_interface} if is_given else None
    row = add_source(old, MULTUS_STATUS) if is_given else remove_source(old, MULTUS_STATUS)
    return {**row, "podInterfaceName": pod_interface}


# Interfaces of a launcher pod that nicplug once asked for, and that no NIC of the VMI has any more.
#
# A leader that has not heard of it asks the pod for a NIC that another one has just withdrawn: no guard spans pod and
# VMI. Or somebody deletes the entries of a NIC that its pod has and no guest. The element is taken out of the pod's
# networks annotation at once (`plan.nic.annotation`). A dynamic networks controller that then fails to detach the
# interface falls silent until the text changes, so the pod is asked again, as for any NIC that is to go. The record
# bears the name of the pod interface: a hash does not tell which NIC it was made of.
#
# Network-status is a claim. Only hashed names are nicplug's own, and only on networks that the VM may use. Whatever
# has another name or network was put there by somebody else, who alone knows what it is for.

# Those who may write network-status could fill the VMI's status with records. The others follow when these have gone.
_MOST = 8


@once_per_pass
def stray_interfaces(
    vmi: VirtualMachineInstance, pod: LauncherPod, rows: Rows, *, access: AttachmentAccess
) -> tuple[str, ...]:
    """Their names, whether or not the annotation still asks for them; nothing while network-status is silent.

    Args:
        rows: `status.interfaces` by name, as the node agent last reported: what the guest holds is no stray.
        access: by which a network that the VM may not use is recognised.
    """
    listed = [item for item in pod.network_status.entries if not item.is_default and is_hashed_name(item.interface)]
    wanted = set(interface_names(vmi, pod, rows).values())
    if all(item.interface in wanted for item in listed):
        return ()
    wanted |= {text(row.get("podInterfaceName")) for row in rows.values() if has_source(row, DOMAIN)}
    # Records are found by name: one of a NIC that is called so must not be taken for that of an interface.
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
    """The record of that name is of a pod interface, and not of a NIC of the VMI."""
    return is_hashed_name(name) and all(item.name != name for item in vmi.interfaces)
