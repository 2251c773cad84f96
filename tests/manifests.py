"""Objects as people write them, and their edits: nothing that an API server or a controller adds.

As the API server serves them: `tests.build.objects`. Knows nothing of the operator.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def pod_interface(network: str) -> str:
    """KubeVirt's name of the pod interface of a network."""
    return "pod" + hashlib.sha256(network.encode()).hexdigest()[:11]


def nic(name: str, **members: Any) -> Json:
    """A bridge interface."""
    return {"name": name, "bridge": {}, **members}


def network(name: str, attachment: str = "lan") -> Json:
    """A Multus network."""
    return {"name": name, "multus": {"networkName": attachment}}


def spec(*nics: str, **members: Any) -> Json:
    """A VMI spec with the pod network and bridges."""
    return {
        "domain": {
            "devices": {"interfaces": [{"name": "main", "masquerade": {}}, *map(nic, nics)]},
            "resources": {"requests": {"memory": "64Mi"}},
        },
        "networks": [{"name": "main", "pod": {}}, *map(network, nics)],
        "terminationGracePeriodSeconds": 0,
        **members,
    }


def vmi(name: str, *nics: str, **members: Any) -> Json:
    """A bare VMI; `members` are of its spec."""
    head = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": name}}
    return {**head, "spec": spec(*nics, **members)}


def vm(name: str, *nics: str, strategy: str = "Always", labels: dict[str, str] | None = None, **members: Any) -> Json:
    """A VM; `labels` and `members` are of its template and the spec in it."""
    head = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": name}}
    template = {"metadata": {"labels": labels} if labels else {}, "spec": spec(*nics, **members)}
    return {**head, "spec": {"runStrategy": strategy, "template": template}}


def nad(name: str = "lan", config: Json | str | None = None) -> Json:
    """A network attachment definition; a bridge unless said otherwise."""
    text = config if isinstance(config, str) else json.dumps(config or _bridge(name))
    head = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": name}}
    return {**head, "spec": {"config": text}}


def _bridge(name: str) -> Json:
    return {"cniVersion": "0.3.1", "type": "bridge", "name": name}


def spec_of(body: Json) -> Json:
    """The spec of a VMI, or that in the template of a VM."""
    found: Json = body["spec"]["template"]["spec"] if body["kind"] == "VirtualMachine" else body["spec"]
    return found


def plug(*names: str, attachment: str = "lan") -> Callable[[Json], None]:
    """The edit that adds NICs to a VM's template or a VMI's spec."""

    def change(body: Json) -> None:
        for name in names:
            spec_of(body)["domain"]["devices"]["interfaces"].append(nic(name))
            spec_of(body)["networks"].append(network(name, attachment))

    return change


def unplug(*names: str) -> Callable[[Json], None]:
    """The edit that sets NICs absent."""

    def change(body: Json) -> None:
        for item in spec_of(body)["domain"]["devices"]["interfaces"]:
            if item["name"] in names:
                item["state"] = "absent"

    return change


def nics(body: Json | None) -> list[str]:
    """Names of the interfaces of a spec or a template; nothing for None."""
    return [] if body is None else [item["name"] for item in spec_of(body)["domain"]["devices"]["interfaces"]]


def networks(body: Json | None) -> list[str]:
    """What the networks of a VMI's spec name, the pod network as an empty string; nothing for None."""
    return [] if body is None else [item.get("multus", {}).get("networkName", "") for item in body["spec"]["networks"]]
