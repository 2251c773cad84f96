"""The guest as virt-launcher runs it, and how virt-handler tells of it in `status.interfaces`.

Pure. Source of the rules: KubeVirt 1.9, `pkg/network/setup/netstat.go` (rows), `filters.go` (pod side),
`pkg/virt-launcher/virtwrap/network/nichotplug.go` (guest side), in our own words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.multus import PRIMARY_INTERFACE
from nicplug_sandbox.node.networks import generated_mac, hashed_interface, links_of, read_status

DOMAIN = "domain"
GUEST_AGENT = "guest-agent"
MULTUS_STATUS = "multus-status"
MOST_GUEST_INTERFACES = 10
_ORDINAL = re.compile(r"net\d+")
_HASHED = re.compile(r"pod[0-9a-f]{11}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestNic:
    """One NIC in the guest."""

    name: str
    mac: str
    pod_interface: str
    sriov: bool = False
    queues: int = 1
    ips: tuple[str, ...] = ()
    """As the pod had them when the NIC was plugged: virt-handler tells of IPs from a cache of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The guest's NICs, in the order in which they came."""

    nics: tuple[GuestNic, ...] = ()

    def has(self, name: str) -> bool:
        """Whether the guest has a NIC of this name."""
        return any(nic.name == name for nic in self.nics)

    def with_nic(self, nic: GuestNic) -> "Domain":
        """The domain after plugging."""
        return replace(self, nics=(*self.nics, nic))

    def without(self, name: str) -> "Domain":
        """The domain after unplugging."""
        return replace(self, nics=tuple(nic for nic in self.nics if nic.name != name))


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestAgent:
    """What the agent in the guest reports; without one, `connected` is False."""

    connected: bool = False
    interfaces: tuple[str, ...] = ()
    """Interfaces that the guest made itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hotplug:
    """What virt-handler does next with the guest."""

    plug: tuple[GuestNic, ...] = ()
    unplug: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    """Sentences for the `NicHotplug` event."""


def tokens(row: Json) -> list[str]:
    """The tokens of a row's infoSource, in order."""
    return [token for token in (row.get("infoSource") or "").split(", ") if token]


def spec_interfaces(vmi: Json) -> list[Json]:
    """`spec.domain.devices.interfaces`."""
    devices = vmi["spec"].get("domain", {}).get("devices", {})
    return list(devices.get("interfaces") or ())


def _networks(vmi: Json) -> dict[str, Json]:
    return {network["name"]: network for network in vmi["spec"].get("networks") or ()}


def is_primary(network: Json) -> bool:
    """The pod network, or the Multus network that stands in for it."""
    return "pod" in network or bool((network.get("multus") or {}).get("default"))


def rows_of(vmi: Json) -> list[Json]:
    """`status.interfaces` as it is."""
    return list(vmi.get("status", {}).get("interfaces") or ())


def _names_by_scheme(*, vmi: Json, pod: Json) -> dict[str, str]:
    """The pod interface of every network in the spec: ordinal for all as soon as the pod has one `net<i>`."""
    ordinal = any(_ORDINAL.fullmatch(entry.get("interface", "")) for entry in read_status(pod))
    names: dict[str, str] = {}
    position = 0
    for name, network in _networks(vmi).items():
        if is_primary(network):
            names[name] = PRIMARY_INTERFACE
            continue
        position += 1
        names[name] = f"net{position}" if ordinal else hashed_interface(name)
    return names


def pod_interface_names(*, vmi: Json, pod: Json) -> dict[str, str]:
    """The pod interface of every network in the spec; as in KubeVirt, a name that the status row carries wins."""
    names = _names_by_scheme(vmi=vmi, pod=pod)
    for row in rows_of(vmi):
        if row.get("name") in names and row.get("podInterfaceName"):
            names[row["name"]] = row["podInterfaceName"]
    return names


def _guest_nic(*, vmi: Json, pod: Json, interface: Json, pod_interface: str) -> GuestNic:
    entry = next((item for item in read_status(pod) if item.get("interface") == pod_interface), {})
    mac = interface.get("macAddress")
    if not mac and "bridge" in interface:
        mac = entry.get("mac")
    devices = vmi["spec"]["domain"]["devices"]
    queues = 1
    if devices.get("networkInterfaceMultiqueue"):
        queues = int((vmi["spec"]["domain"].get("cpu") or {}).get("cores") or 1)
    return GuestNic(
        name=interface["name"],
        mac=mac or generated_mac(vmi["metadata"]["uid"], interface["name"]),
        pod_interface=pod_interface,
        sriov="sriov" in interface,
        queues=queues,
        ips=tuple(entry.get("ips") or ()),
    )


def is_attached(pod: Json, interface: str) -> bool:
    """Whether the pod has the interface: network-status lists it, and it is really there."""
    listed = any(entry.get("interface") == interface for entry in read_status(pod))
    return listed and interface in links_of(pod)


def boot(*, vmi: Json, pod: Json) -> Domain:
    """The guest as it starts: every interface of the spec that is not absent and whose link is there."""
    names = pod_interface_names(vmi=vmi, pod=pod)
    nics = tuple(
        _guest_nic(vmi=vmi, pod=pod, interface=interface, pod_interface=names[interface["name"]])
        for interface in spec_interfaces(vmi)
        if interface.get("state") != "absent"
        and interface["name"] in names
        and is_attached(pod, names[interface["name"]])
    )
    return Domain(nics=nics)


def recovered(*, vmi: Json, pod: Json) -> Domain:
    """The guest as the status of a running VMI tells: after a restart of the simulator."""
    names = pod_interface_names(vmi=vmi, pod=pod)
    interfaces = {interface["name"]: interface for interface in spec_interfaces(vmi)}
    nics = []
    for row in rows_of(vmi):
        name = row.get("name", "")
        if DOMAIN in tokens(row) and name in interfaces:
            nic = _guest_nic(vmi=vmi, pod=pod, interface=interfaces[name], pod_interface=names.get(name, ""))
            ips = tuple(row.get("ipAddresses") or ())
            nics.append(replace(nic, mac=row.get("mac") or nic.mac, ips=ips))
    return Domain(nics=tuple(nics))


def load_failure(*, vmi: Json, pod: Json, domain: Domain) -> str:
    """Why the pod that a guest moves to cannot load it, empty when it can: each NIC needs its device there.

    SR-IOV devices do not move: the guest loses the old one and gets another.
    """
    names = _names_by_scheme(vmi=vmi, pod=pod)
    for nic in domain.nics:
        link = names.get(nic.name, nic.pod_interface)
        if not nic.sriov and not is_attached(pod, link):
            return f'cannot accept migration: the target pod has no interface "{link}" for NIC "{nic.name}"'
    return ""


def moved(*, vmi: Json, pod: Json, domain: Domain) -> Domain:
    """A guest that has come to another pod: the same NICs on other links, and the SR-IOV devices of the new pod."""
    names = _names_by_scheme(vmi=vmi, pod=pod)
    entries = {entry.get("interface"): entry for entry in read_status(pod)}
    stayed = []
    for nic in domain.nics:
        link = names.get(nic.name, nic.pod_interface)
        ips = tuple(entries.get(link, {}).get("ips") or ())
        stayed.append(replace(nic, pod_interface=link, ips=ips))
    devices = [
        _guest_nic(vmi=vmi, pod=pod, interface=interface, pod_interface=names[interface["name"]])
        for interface in spec_interfaces(vmi)
        if "sriov" in interface and interface.get("state") != "absent" and interface["name"] in names
    ]
    nics = [nic for nic in stayed if not nic.sriov]
    nics += [nic for nic in devices if is_attached(pod, nic.pod_interface)]
    return Domain(nics=tuple(nics))


def next_hotplug(*, vmi: Json, pod: Json, domain: Domain) -> Hotplug:
    """What to plug and unplug; `multus-status` in the row is the go-ahead, and nothing else is."""
    names = pod_interface_names(vmi=vmi, pod=pod)
    rows = {row["name"]: row for row in rows_of(vmi) if row.get("name")}
    plug: list[GuestNic] = []
    unplug: list[str] = []
    failures: list[str] = []
    for interface in spec_interfaces(vmi):
        name = interface["name"]
        present = domain.has(name)
        if interface.get("state") == "absent":
            nic = next((nic for nic in domain.nics if nic.name == name), None)
            # Ordinal pod interfaces are from before unplug existed; KubeVirt leaves them alone.
            if nic is not None and _HASHED.fullmatch(nic.pod_interface):
                unplug.append(name)
            continue
        ready = MULTUS_STATUS in tokens(rows.get(name, {}))
        if present or not ready or "sriov" in interface or name not in names:
            continue
        if is_attached(pod, names[name]):
            plug.append(_guest_nic(vmi=vmi, pod=pod, interface=interface, pod_interface=names[name]))
        else:
            failures.append(
                f'failed to plug network "{name}": the pod has no interface "{names[name]}" to connect the guest to'
            )
    return Hotplug(plug=tuple(plug), unplug=tuple(unplug), failures=tuple(failures))


def _domain_row(*, nic: GuestNic, position: int, interface: Json, agent: GuestAgent) -> Json:
    row: Json = {"name": nic.name, "mac": nic.mac, "infoSource": DOMAIN}
    if not nic.sriov:
        row["queueCount"] = nic.queues
        row["linkState"] = "down" if interface.get("state") == "down" else "up"
    if nic.ips:
        row["ipAddress"] = nic.ips[0]
        row["ipAddresses"] = list(nic.ips)
    if agent.connected:
        row["infoSource"] = f"{DOMAIN}, {GUEST_AGENT}"
        row["interfaceName"] = f"eth{position}"
    return row


def rebuilt_rows(*, vmi: Json, domain: Domain, agent: GuestAgent) -> list[Json]:
    """`status.interfaces` from scratch, in virt-handler's order."""
    interfaces = {interface["name"]: interface for interface in spec_interfaces(vmi)}
    old = {row["name"]: row for row in rows_of(vmi) if row.get("name")}
    ordered = sorted(domain.nics, key=lambda nic: nic.sriov)
    rows = [
        _domain_row(nic=nic, position=position, interface=interfaces.get(nic.name, {}), agent=agent)
        for position, nic in enumerate(ordered)
    ]
    if agent.connected:
        rows += [
            {
                "interfaceName": name,
                "infoSource": GUEST_AGENT,
                "mac": generated_mac(vmi["metadata"]["uid"], "guest", name),
            }
            for name in agent.interfaces[:MOST_GUEST_INTERFACES]
        ]
    _restore_primary(rows, vmi=vmi, old=old)
    present = {row["name"]: row for row in rows if row.get("name")}
    for name, row in old.items():
        if MULTUS_STATUS not in tokens(row):
            continue
        if name in present:
            if MULTUS_STATUS not in tokens(present[name]):
                present[name]["infoSource"] = ", ".join([*tokens(present[name]), MULTUS_STATUS])
        elif name in interfaces:
            rows.append({"name": name, "infoSource": MULTUS_STATUS})
    for row in rows:
        if interface_name := old.get(row.get("name", ""), {}).get("podInterfaceName"):
            row["podInterfaceName"] = interface_name
    return rows


def _restore_primary(rows: list[Json], *, vmi: Json, old: dict[str, Json]) -> None:
    """The primary interface comes first: `kubectl get vmi` prints the IP of the first row."""
    primary = next((name for name, network in _networks(vmi).items() if is_primary(network)), None)
    if primary is None:
        return
    found = next((row for row in rows if row.get("name") == primary), None)
    if found is not None:
        rows.remove(found)
        rows.insert(0, found)
    elif primary in old:
        rows.insert(0, dict(old[primary]))


def is_same(old: Sequence[Json], new: Sequence[Json]) -> bool:
    """Equal whatever the order: the controller sorts otherwise, and two writers must not flood each other."""

    def sort_key(row: Json) -> tuple[str, str]:
        return row.get("name") or "", row.get("interfaceName") or ""

    return sorted(old, key=sort_key) == sorted(new, key=sort_key)


MIGRATABLE_BRIDGE = "kubevirt.io/allow-pod-bridge-network-live-migration"
NOT_MIGRATABLE = "cannot migrate VMI which does not use masquerade or a migratable plugin to connect to the pod network"


def live_migratable(vmi: Json) -> Json:
    """Condition LiveMigratable as far as networks decide it.

    Binding plugins count as not migratable: their registration in the KubeVirt CR is not read.
    """
    pod_network = next((name for name, network in _networks(vmi).items() if "pod" in network), None)
    interface = next((item for item in spec_interfaces(vmi) if item["name"] == pod_network), None)
    annotations = vmi["metadata"].get("annotations") or {}
    if (
        interface is None
        or "masquerade" in interface
        or "passtBinding" in interface
        or ("bridge" in interface and MIGRATABLE_BRIDGE in annotations)
    ):
        return {"type": "LiveMigratable", "status": "True"}
    return {
        "type": "LiveMigratable",
        "status": "False",
        "reason": "InterfaceNotLiveMigratable",
        "message": NOT_MIGRATABLE,
    }
