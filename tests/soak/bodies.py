"""The VMs of a soak, and what their owners edit in a spec."""

from tests.soak.script import network_of

from nicplug_sandbox.node.api import Json

LABEL = {"soak": "vm"}


def vm_body(name: str, *nics: str, home: str) -> Json:
    """A small VM on the pod network, and on a network of its own for each NIC.

    The scheduler would put all of them on one node: each node of the sandbox is as good as empty. So it begins on the
    node `home`, where it can, and is migrated to wherever few are.
    """
    prefers = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [home]}]}
    affinity = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": prefers}]}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": LABEL},
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {
            "runStrategy": "Always",
            "template": {
                "metadata": {"labels": {"app": name, **LABEL}},
                "spec": {
                    "domain": {
                        "devices": {
                            "interfaces": [
                                {"name": "default", "masquerade": {}},
                                *({"name": nic, "bridge": {}} for nic in nics),
                            ]
                        },
                        "resources": {"requests": {"memory": "64Mi"}},
                    },
                    "networks": [{"name": "default", "pod": {}}, *map(_network, nics)],
                    "terminationGracePeriodSeconds": 0,
                    "affinity": {"nodeAffinity": affinity},
                    "topologySpreadConstraints": [spread],
                },
            },
        },
    }


def _network(nic: str) -> Json:
    return {"name": nic, "multus": {"networkName": network_of(nic)}}


def _interfaces(spec: Json) -> list[Json]:
    found: list[Json] = spec["domain"]["devices"]["interfaces"]
    return found


def find(spec: Json, nic: str) -> Json | None:
    """The interface of that name; None without one."""
    return next((item for item in _interfaces(spec) if item["name"] == nic), None)


def plug(spec: Json, nic: str) -> None:
    """Have the NIC, or have it again."""
    present = find(spec, nic)
    if present is not None:
        present.pop("state", None)
        return
    _interfaces(spec).append({"name": nic, "bridge": {}})
    spec["networks"] = [*(item for item in spec["networks"] if item["name"] != nic), _network(nic)]


def edit(spec: Json, nic: str, **members: str) -> None:
    """Edit its interface, if there is one."""
    present = find(spec, nic)
    if present is not None:
        present.update(members)


def drop(spec: Json, nic: str) -> None:
    """Delete both of its entries."""
    spec["domain"]["devices"]["interfaces"] = [item for item in _interfaces(spec) if item["name"] != nic]
    spec["networks"] = [item for item in spec["networks"] if item["name"] != nic]
