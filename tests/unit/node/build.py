"""Objects with good defaults: a test says only what matters to it."""

import json
import uuid
from typing import Any

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.domain import Domain, GuestNic
from nicplug_sandbox.node.networks import NETWORK_STATUS, NETWORKS, format_status, status_entry

NODE = "node01"
DEFAULT_ENTRY = status_entry(
    network="cluster", interface="eth0", mac="02:00:00:00:00:01", ips=["10.128.0.2"], default=True
)


def entry(nad: str, interface: str, **more: Any) -> Json:
    """An entry of network-status for a NAD of namespace `default`."""
    return status_entry(network=f"default/{nad}", interface=interface, mac=more.pop("mac", "02:00:00:00:00:02"), **more)


def element(nad: str, interface: str = "", **more: Any) -> Json:
    """An element of the networks annotation."""
    return {"name": nad, **({"interface": interface} if interface else {}), **more}


def pod(
    name: str = "launcher",
    *,
    networks: list[Json] | str | None = None,
    entries: list[Json] | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    phase: str = "Running",
    spec: Json | None = None,
    status: Json | None = None,
    **metadata: Any,
) -> Json:
    """A pod on node01 that runs."""
    notes = dict(annotations or {})
    if networks is not None:
        notes[NETWORKS] = networks if isinstance(networks, str) else json.dumps(networks)
    if entries is not None:
        notes[NETWORK_STATUS] = format_status(entries)
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": notes,
            "labels": labels or {},
            **metadata,
        },
        "spec": {"nodeName": NODE, "containers": [{"name": "compute", "image": "launcher:1"}], **(spec or {})},
        "status": {"phase": phase, **(status or {})},
    }


def node(name: str = NODE, **faults: str) -> Json:
    """A Node; keyword names are roles, underscores stand for hyphens."""
    annotations = {f"sandbox.nicplug.io/{role.replace('_', '-')}": text for role, text in faults.items()}
    return {
        "metadata": {"name": name, "uid": name, "resourceVersion": "1", "annotations": annotations, "labels": {}},
        "status": {},
    }


def nad(name: str, config: Json | str | None = None, **annotations: str) -> Json:
    """A NAD with a bridge."""
    text = config if isinstance(config, str) else json.dumps(config or {"type": "bridge"})
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "resourceVersion": "1",
            "annotations": {f"sandbox.nicplug.io/{key}": value for key, value in annotations.items()},
        },
        "spec": {"config": text},
    }


def interface(name: str, binding: str = "bridge", **more: Any) -> Json:
    """An interface of a VMI."""
    return {"name": name, binding: {}, **more}


def row(name: str, info_source: str, **more: Any) -> Json:
    """A row of `status.interfaces`."""
    return {"name": name, "infoSource": info_source, **more}


def vmi(
    *interfaces: Json, rows: list[Json] | None = None, annotations: dict[str, str] | None = None, **status: Any
) -> Json:
    """A running VMI on node01: masquerade on the pod network, then `interfaces`, each on a NAD of its name."""
    names = [item["name"] for item in interfaces]
    networks: list[Json] = [{"name": "default", "pod": {}}]
    networks += [{"name": name, "multus": {"networkName": name}} for name in names]
    return {
        "metadata": {
            "name": "vm",
            "namespace": "default",
            "uid": "vm-uid",
            "resourceVersion": "1",
            "labels": {"kubevirt.io/nodeName": NODE},
            "annotations": annotations or {},
        },
        "spec": {
            "domain": {"devices": {"interfaces": [interface("default", "masquerade"), *interfaces]}},
            "networks": networks,
        },
        "status": {"phase": "Running", "interfaces": rows if rows is not None else [], **status},
    }


def nic(name: str, pod_interface: str, **more: Any) -> GuestNic:
    """A NIC in the guest."""
    return GuestNic(name=name, mac=more.pop("mac", "02:00:00:00:00:02"), pod_interface=pod_interface, **more)


def domain(*nics: GuestNic) -> Domain:
    """A guest with the primary NIC and `nics`."""
    return Domain(nics=(nic("default", "eth0", mac="02:00:00:00:00:01"), *nics))


def daemon_pod(app: str, *, ready: bool = True, on: str = NODE) -> Json:
    """A pod of one of the DaemonSets."""
    result = pod(
        f"{app}-{on}",
        labels={"name": app},
        spec={"nodeName": on, "hostNetwork": True},
        status={
            "conditions": [
                {"type": kind, "status": "True" if ready else "False"} for kind in ("ContainersReady", "Ready")
            ]
        },
        ownerReferences=[{"kind": "DaemonSet"}],
    )
    result["metadata"]["namespace"] = "kube-system"
    return result
