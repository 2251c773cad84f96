"""The networks annotation of launcher pods (4.2) and `status.interfaces` from network-status (4.4). Pure."""

import json

from nicplug_sandbox.kubevirt.interface_names import PRIMARY, is_secondary, secondary_names
from nicplug_sandbox.kubevirt.objects import (
    NETWORKS,
    Json,
    annotations_of,
    interfaces_of,
    is_absent,
    namespace_of,
    networks_of,
    rows_of,
)

NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
MULTUS_STATUS = "multus-status"


def network_status(pod: Json) -> list[Json]:
    """The entries of network-status; a broken one counts as empty."""
    try:
        entries = json.loads(annotations_of(pod).get(NETWORK_STATUS) or "[]")
    except ValueError:
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def in_order_of(interfaces: list[Json], networks: list[Json]) -> list[Json]:
    """The networks of the interfaces, in the order of the interfaces."""
    by_name = {network["name"]: network for network in networks}
    return [by_name[interface["name"]] for interface in interfaces if interface["name"] in by_name]


def nad_of(network_name: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of a network-attachment-definition: split at the first slash."""
    given, slash, name = network_name.partition("/")
    return (given, name) if slash else (namespace, network_name)


def networks_annotation(*, interfaces: list[Json], networks: list[Json], names: dict[str, str], namespace: str) -> str:
    """The annotation's text, "" without a secondary network."""
    macs = {interface["name"]: interface.get("macAddress") for interface in interfaces}
    elements: list[Json] = []
    for network in networks:
        if is_secondary(network):
            where, name = nad_of(network["multus"]["networkName"], namespace)
            mac = macs.get(network["name"])
            address = {"mac": mac} if mac else {}
            elements.append({"name": name, "namespace": where, **address, "interface": names[network["name"]]})
    return json.dumps(elements, separators=(",", ":"), ensure_ascii=False) if elements else ""


def new_pod_annotations(vmi: Json) -> dict[str, str]:
    """The network annotations of a launcher pod that is created: no absent NIC, hashed names."""
    spec = vmi["spec"]
    interfaces = [interface for interface in interfaces_of(spec) if not is_absent(interface)]
    networks = in_order_of(interfaces, networks_of(spec))
    names = secondary_names(networks, [])
    text = networks_annotation(interfaces=interfaces, networks=networks, names=names, namespace=namespace_of(vmi))
    result = {NETWORKS: text} if text else {}
    for network in networks:
        if (network.get("multus") or {}).get("default"):
            result[DEFAULT_NETWORK] = network["multus"]["networkName"]
    if any("masquerade" in interface for interface in interfaces):
        for key in ("traffic.sidecar.istio.io/kubevirtInterfaces", "istio.io/reroute-virtual-interfaces"):
            result[key] = "k6t-eth0"
    return result


def missing_network(vmi: Json, known: frozenset[tuple[str, str]] | None) -> str:
    """Why the pod of a VMI is not made, where KubeVirt looks its networks up; "" when they are there.

    Args:
        vmi: whose pod is to be made.
        known: namespace and name of the attachment definitions; None where nobody looks them up.
    """
    for network in networks_of(vmi["spec"]) if known is not None else ():
        if "multus" in network:
            where, name = nad_of(network["multus"]["networkName"], namespace_of(vmi))
            if (where, name) not in (known or ()):
                return f"failed to locate network attachment definition {where}/{name}"
    return ""


def ordinal_annotation(vmi: Json) -> str:
    """The networks of a target pod that keeps the ordinal names of its source: of all networks of the spec (5.4)."""
    spec = vmi["spec"]
    networks = networks_of(spec)
    names = {network["name"]: f"net{index}" for index, network in enumerate(filter(is_secondary, networks), start=1)}
    return networks_annotation(
        interfaces=interfaces_of(spec), networks=networks, names=names, namespace=namespace_of(vmi)
    )


def live_annotation(vmi: Json, pod: Json) -> str | None:
    """The active pod rule: what the annotation of a live pod must become; None when the pod is left alone."""
    told = {row.get("name") for row in rows_of(vmi)}
    interfaces = interfaces_of(vmi["spec"])
    wanted = [
        interface
        for interface in interfaces
        if not is_absent(interface) and not ("sriov" in interface and interface["name"] not in told)
    ]
    is_unplug = any(is_absent(interface) for interface in interfaces)
    if not is_unplug and all(interface["name"] in told for interface in wanted):
        return None
    networks = in_order_of(wanted, networks_of(vmi["spec"]))
    names = secondary_names(networks, network_status(pod))
    text = networks_annotation(interfaces=wanted, networks=networks, names=names, namespace=namespace_of(vmi))
    return None if text == annotations_of(pod).get(NETWORKS, "") else text


def status_rows(vmi: Json, pod: Json) -> list[Json]:
    """`status.interfaces` as network-status has it: primary, secondary in the order of spec, then guest-made rows."""
    old = {row["name"]: row for row in rows_of(vmi) if row.get("name")}
    networks, entries = networks_of(vmi["spec"]), network_status(pod)
    rows = [_primary_row(old, network, entries) for network in networks if not is_secondary(network)]
    attached = {entry.get("interface") for entry in entries}
    for name, interface in secondary_names(networks, entries).items():
        row = _secondary_row(old.get(name), name=name, interface=interface, exists=interface in attached)
        rows += [row] if row is not None else []
    named = {network["name"] for network in networks}
    return rows + [row for row in rows_of(vmi) if row.get("name") not in named]


def _primary_row(old: dict[str, Json], network: Json, entries: list[Json]) -> Json:
    interface = next((entry.get("interface") for entry in entries if entry.get("default")), None)
    return {**(old.get(network["name"]) or {"name": network["name"]}), "podInterfaceName": interface or PRIMARY}


def _secondary_row(old: Json | None, *, name: str, interface: str, exists: bool) -> Json | None:
    if old is None:
        return {"name": name, "infoSource": MULTUS_STATUS, "podInterfaceName": interface} if exists else None
    tokens = [token for token in (old.get("infoSource") or "").split(", ") if token]
    if exists and MULTUS_STATUS not in tokens:
        tokens.append(MULTUS_STATUS)
    if not exists:
        tokens = [token for token in tokens if token != MULTUS_STATUS]
    row = {**old, "infoSource": ", ".join(tokens), "podInterfaceName": interface}
    return row if tokens else {key: value for key, value in row.items() if key != "infoSource"}


def is_same(one: list[Json], other: list[Json]) -> bool:
    """Whether two lists of rows say the same, in whatever order."""
    return sorted(one, key=_name) == sorted(other, key=_name)


def _name(row: Json) -> str:
    return str(row.get("name") or "")
