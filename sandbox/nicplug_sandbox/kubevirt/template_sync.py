"""NICs from a VM's template to its running VMI, and back out of both when they are gone (section 3.2). Pure."""

from nicplug_sandbox.kubevirt.interface_names import reports_ordinal_names
from nicplug_sandbox.kubevirt.objects import (
    Json,
    interfaces_of,
    is_absent,
    is_condition,
    networks_of,
    rows_of,
)
from nicplug_sandbox.kubevirt.pod_networks import in_order_of
from nicplug_sandbox.kubevirt.writes import change

HOTPLUGGED_BINDINGS = ("bridge", "sriov")
INTERFACES, NETWORKS = "/spec/domain/devices/interfaces", "/spec/networks"


def with_nics(spec: Json, *, interfaces: list[Json], networks: list[Json]) -> Json:
    """A VMI spec with other NICs."""
    domain = spec.get("domain") or {}
    devices = {**(domain.get("devices") or {}), "interfaces": interfaces}
    return {**spec, "domain": {**domain, "devices": devices}, "networks": networks}


def synced_spec(template: Json, vmi: Json, *, renames: bool = True) -> Json:
    """The VMI's spec with what the template's NICs ask of it; `renames`: NICs may go to other networks."""
    spec = vmi["spec"]
    interfaces, networks = interfaces_of(spec), networks_of(spec)
    present = {interface["name"]: index for index, interface in enumerate(interfaces)}
    ordinal = reports_ordinal_names(networks, rows_of(vmi))
    for wanted in interfaces_of(template):
        index = present.get(wanted["name"])
        if index is None:
            if not is_absent(wanted) and any(binding in wanted for binding in HOTPLUGGED_BINDINGS):
                interfaces.append(wanted)
                networks += [network for network in networks_of(template) if network["name"] == wanted["name"]]
        elif not is_absent(interfaces[index]) and not (is_absent(wanted) and ordinal):
            interfaces[index] = _with_state(interfaces[index], wanted.get("state"))
    told = {row.get("name") for row in rows_of(vmi)}
    interfaces = [interface for interface in interfaces if not is_absent(interface) or interface["name"] in told]
    networks = in_order_of(interfaces, networks)
    if renames and is_condition(vmi, "LiveMigratable"):
        networks = _with_network_names(networks, template)
    return with_nics(spec, interfaces=interfaces, networks=networks)


def vmi_patch(vmi: Json, wanted: Json) -> list[Json]:
    """The JSON patch to that spec, in KubeVirt's order; empty when nothing differs."""
    spec = vmi["spec"]
    if interfaces_of(spec) == interfaces_of(wanted) and networks_of(spec) == networks_of(wanted):
        return []
    interfaces = (spec.get("domain") or {}).get("devices", {}).get("interfaces")
    return [
        *change(NETWORKS, old=spec.get("networks"), new=networks_of(wanted)),
        *change(INTERFACES, old=interfaces, new=interfaces_of(wanted)),
    ]


def cleared_template(template: Json, *, spec: Json | None, vmi: Json | None) -> Json:
    """The template without the absent NICs that neither the VMI's new spec nor its status has any more."""
    kept = {interface["name"] for interface in interfaces_of(spec or {})}
    kept |= {row.get("name") for row in rows_of(vmi)} if vmi is not None else set()
    interfaces = [item for item in interfaces_of(template) if not is_absent(item) or item["name"] in kept]
    networks = in_order_of(interfaces, networks_of(template))
    if interfaces == interfaces_of(template) and networks == networks_of(template):
        return template
    return with_nics(template, interfaces=interfaces, networks=networks)


def _with_state(interface: Json, state: str | None) -> Json:
    rest = {key: value for key, value in interface.items() if key != "state"}
    return {**rest, "state": state} if state else rest


def _with_network_names(networks: list[Json], template: Json) -> list[Json]:
    wanted = {item["name"]: item["multus"] for item in networks_of(template) if "multus" in item}
    return [
        {**item, "multus": {**item["multus"], "networkName": wanted[item["name"]]["networkName"]}}
        if "multus" in item and item["name"] in wanted
        else item
        for item in networks
    ]
